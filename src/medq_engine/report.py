"""The report of a round: one HTML file that needs nothing else, for a radiologist and an auditor.

What is said stands in `templates/report.html`; here is only what a template cannot do: read
metrics, choose examples, format numbers, carry images as data URIs.
"""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from medq_engine.figures import label_of, ordered
from medq_engine.gate import interval
from medq_engine.marks import marks
from medq_engine.sheets import by_mass
from medq_engine.statistics import Difference
from medq_engine.tables import Images
from medq_engine.vocabulary import MODALITIES

METRICS = (
    "benchmark",
    "evaluate",
    "cluster",
    "retrieve",
    "route",
    "annotate_import",
    "finetune",
)
EXAMPLES = 6
SIDE = 384  # px


def percent(value: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as `56.9%`; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def minutes(seconds: float | None) -> str:
    """Seconds as minutes; a dash where there are none."""
    return number(None if seconds is None else seconds / 60, 0)


def data_uri(image: Path | bytes) -> str:
    """A PNG as a data URI: the bytes of an example as they are, the file of a figure as WebP.

    Contact sheets of photographs are several times smaller so, and a report is sent by mail; so an
    example larger than `SIDE` is made smaller too.
    """
    buffer = io.BytesIO()
    if isinstance(image, bytes):
        picture = Image.open(io.BytesIO(image))
        if max(picture.size) > SIDE:
            picture.thumbnail((SIDE, SIDE))
            picture.save(buffer, "PNG")
            image = buffer.getvalue()
        return f"data:image/png;base64,{base64.b64encode(image).decode()}"
    Image.open(image).convert("RGB").save(buffer, "WEBP", quality=90)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def environment() -> Environment:
    """Jinja that escapes everything and refuses a variable that nobody gave."""
    made = Environment(
        loader=PackageLoader("medq_engine"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "number": number,
        "minutes": minutes,
        "zip": lambda first, second: zip(first, second, strict=True),
        "data_uri": data_uri,
        "ordered": ordered,
        "label": label_of,
        "interval": lambda row: interval(Difference(**row)),
    }
    return made


def render(context: Mapping[str, object]) -> str:
    """The report of a round as HTML; the same context gives the same text.

    Args:
        context: `round`, `tag`, `params`, `incumbent`, `benchmark`, `evaluate`, `cluster`,
            `retrieve`, `route`, `annotate_import`, `finetune`, `gate` (the stages' metrics),
            `baselines` (`baselines_of`), `prototypes` (schema PROTOTYPE), `figures` (PNG by name),
            `examples`, `confusions` (`confusion.most_frequent`), `confusion_figures` (PNG by
            modality), `reliability` (`forecasts.reliability_bins` of `incumbent` and
            `challenger`), `remaining` (`remaining.remaining`), `history` (the params' state),
            `hashes` (of what went in, by name), `changed` (`lineage.changed_params`).

    Raises:
        jinja2.UndefinedError: The template needs a value that the context does not have.
    """
    prototypes = by_mass(context["prototypes"])
    return (
        environment()
        .get_template("report.html")
        .render({**context, "prototypes": prototypes.to_dicts()})
    )


def metrics_of(folder: Path) -> dict[str, object]:
    """The metrics of the stages before the gate, by stage."""
    return {
        stage: json.loads((folder / f"{stage}.json").read_text(encoding="utf-8"))
        for stage in METRICS
    }


def baselines_of(metrics: Path, published: Path) -> dict[str, object]:
    """The simulated annotators on this benchmark, and published rows of another one, kept apart.

    Args:
        metrics: Folder with `baselines.json` (`annotators.baselines`).
        published: Folder with tables of published rows, each under its benchmark's name.
    """
    tables = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(published.glob("*.json"))
    ]
    missing = dict.fromkeys(("yes_no", "what", "how"))
    rows = [
        {**missing, **row, "benchmark": table["benchmark"]}
        for table in tables
        for row in table["rows"]
    ]
    simulated = json.loads((metrics / "baselines.json").read_text(encoding="utf-8"))
    return {**simulated, "published": rows}


def examples(
    items: pl.DataFrame, images: Images, before: pl.DataFrame, after: pl.DataFrame
) -> list[dict[str, object]]:
    """Descriptions of the same images by incumbent and challenger.

    Images are chosen by id, one modality after the other, and never by what the models said.

    Args:
        items: Schema ITEM.
        images: The items' images.
        before, after: Schema PREDICTION, of the incumbent and of the challenger.

    Returns:
        At most six of `image` (PNG bytes), `question`, `reference`, and `before` and `after`: each
        with its `text` and `marks` (`marks.marks`).
    """
    chosen = (
        items.filter(pl.col("task") == "description")
        .join(before.select("item_id", before="text"), on="item_id", maintain_order="left")
        .join(after.select("item_id", after="text"), on="item_id", maintain_order="left")
        .with_columns(
            turn=pl.col("item_id").rank("ordinal").over("modality"),
            place=pl.col("modality").cast(pl.Enum(MODALITIES)),
        )
        .sort("turn", "place")
        .head(EXAMPLES)
    )
    return [
        {"image": images.struct(row["image_ids"][0])["bytes"]}
        | {name: row[name] for name in ("question", "reference")}
        | {
            side: {
                "text": row[side],
                "marks": marks(row[side], row["findings"], row["verdict"], row["modality"]),
            }
            for side in ("before", "after")
        }
        for row in chosen.iter_rows(named=True)
    ]
