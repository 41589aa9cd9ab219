"""The benchmark's datasheet: Croissant JSON-LD, which data set search and loaders can read.

Croissant 1.1 describes files, tables and columns (Akhtar et al. 2024, arXiv 2403.19546;
https://docs.mlcommons.org/croissant); its responsible-AI vocabulary says what the data are good for
and what they are not (Jain et al. 2024, arXiv 2407.16883). Counts and checksums are taken from the
tables, so that the same tables give the same datasheet.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from medq_engine import tables
from medq_engine.datasheet_texts import COLUMNS, RESPONSIBLE_AI, SPLITS
from medq_engine.sources import Source
from medq_engine.vocabulary import MODALITIES

SCHEMAS = {"records": tables.RECORD, "items": tables.ITEM}
PARQUET = "application/x-parquet"
DATA_TYPES = {pl.String: "sc:Text", pl.Int32: "cr:Int32"}

# The specification's own context; what is not named here is schema.org's.
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
} | {
    term: f"cr:{term}"
    for term in (
        *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract"),
        *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray"),
        *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
        *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source"),
        *("subField", "transform"),
    )
}


@dataclass(frozen=True)
class About:
    """What the tables cannot say about the benchmark.

    Args:
        name: Name of the data set.
        description: What it is, in a sentence or two; the counts are added.
        version: MAJOR.MINOR.PATCH.
        url: Web page.
        licence: URL of the licence of questions, degradations and phantoms.
        creator: Name of who made it.
        published: Day of publication of this version, ISO 8601.
        citation: BibTeX entry.
    """

    name: str
    description: str
    version: str
    url: str
    licence: str
    creator: str
    published: str
    citation: str


def croissant(folder: Path, about: About, sources: Iterable[Source]) -> dict[str, object]:
    """The datasheet of the benchmark in `folder`, to be written beside the splits as JSON.

    Args:
        folder: Holds `<split>/records.parquet` (schema RECORD) and `<split>/items.parquet` (schema
            ITEM) of dev, gate and test; addresses of files are relative to it.
        about: What the tables cannot say.
        sources: The manifest (`sources.load_manifest`); files that no image came from are left out.

    Raises:
        TableError: A table is missing or breaks its contract.
    """
    read = {
        table: pl.concat(
            tables.read(folder / split / f"{table}.parquet", schema).with_columns(
                split=pl.lit(split)
            )
            for split in SPLITS
        )
        for table, schema in SCHEMAS.items()
    }
    counts = composition(**read)
    used = set(read["records"]["source"])
    based_on = sorted((s for s in sources if s.id in used), key=lambda source: source.id)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": about.name,
        "description": f"{about.description} {_in_words(**read)}",
        "version": about.version,
        "url": about.url,
        "creator": {"@type": "sc:Organization", "name": about.creator},
        "datePublished": about.published,
        "citeAs": about.citation,
        "inLanguage": "en",
        "isLiveDataset": False,
        "keywords": ["image quality assessment", "medical imaging", *MODALITIES],
        "license": [about.licence, *_licences(based_on)],
        "isBasedOn": [_work(source) for source in based_on],
        **RESPONSIBLE_AI,
        "rai:dataLimitations": _limitations(read["records"]),
        "distribution": [part for table in SCHEMAS for part in _files(folder, table)],
        "recordSet": [
            _inline("splits", "cr:Split", [{"name": s, "purpose": p} for s, p in SPLITS.items()]),
            *(_record_set(table, schema) for table, schema in SCHEMAS.items()),
            _inline("composition", None, counts.to_dicts()),
        ],
    }


def composition(records: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Images and items by split, modality, origin and severity.

    Args:
        records, items: Schemas RECORD and ITEM with a column `split`. An image counts under the
            severity that its own items state; a comparison shows images that are counted already.
    """
    by = ("split", "modality", "origin", "severity")
    alone = items.filter(pl.col("image_ids").list.len() == 1).with_columns(
        image_id=pl.col("image_ids").list.first()
    )
    images = alone.join(records.select("image_id", "split"), on=["image_id", "split"]).group_by(by)
    return (
        items.group_by(by)
        .agg(items=pl.len().cast(pl.Int32))
        .join(images.agg(images=pl.col("image_id").n_unique().cast(pl.Int32)), on=by, how="left")
        .select(*by, pl.col("images").fill_null(0), "items")
        .sort(*by)
    )


def _in_words(records: pl.DataFrame, items: pl.DataFrame) -> str:
    parts = []
    for split in SPLITS:
        here = records.filter(pl.col("split") == split)
        phantoms = here.filter(pl.col("origin") == "phantom")
        asked = items.filter(pl.col("split") == split)
        parts.append(
            f"{split}: {len(here)} images ({len(phantoms)} of phantoms) and {len(asked)} items"
        )
    return f"{'; '.join(parts)}."


def _limitations(records: pl.DataFrame) -> list[str]:
    real = records.filter(pl.col("origin") != "phantom")
    per_split = (
        f"{real.filter(pl.col('split') == split)['subject_id'].n_unique()} in {split}"
        for split in SPLITS
    )
    return [
        f"Few subjects: {real['subject_id'].n_unique()} real ones in all ({', '.join(per_split)}). "
        "Images of one subject are not independent; intervals must resample scenes, not items.",
        f"{len(records) - len(real)} of {len(records)} images show phantoms, which are simpler "
        "than anatomy; report results on real images apart (origin).",
        "Degradations are simulated; faults of real devices look different and come together in "
        "other ways.",
        f"Images are small (at most {records['width'].max()} px wide): detail that a reader would "
        "use is lost.",
    ]


def _licences(sources: Sequence[Source]) -> list[dict[str, object]]:
    names = sorted({source.licence for source in sources})
    return [
        {
            "@type": "sc:CreativeWork",
            "name": name,
            "description": "Scenes cut from: "
            + ", ".join(source.id for source in sources if source.licence == name),
        }
        for name in names
    ]


def _work(source: Source) -> dict[str, object]:
    package, _, version = source.package.partition("==")
    return {
        "@type": "sc:CreativeWork",
        "name": source.id,
        "description": f"{source.path} in {package} {version}, sha256 {source.sha256}",
        "url": f"https://pypi.org/project/{package}/{version}/",
        "license": source.licence,
    }


def _files(folder: Path, table: str) -> list[dict[str, object]]:
    """Every file of a table with its checksum, and the set through which loaders read them all."""
    names = [f"{split}/{table}.parquet" for split in SPLITS]
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{(folder / name).stat().st_size} B",
            "encodingFormat": PARQUET,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name in names
    ]
    together = {
        "@type": "cr:FileSet",
        "@id": f"{table}-files",
        "name": f"{table}-files",
        "description": f"The {table} of all splits; checksums stand with each file.",
        "encodingFormat": PARQUET,
        "includes": names,
    }
    return [*objects, together]


def _record_set(table: str, schema: tables.Schema) -> dict[str, object]:
    """The rows of a table over all splits, a field per column and one for the split."""
    key = next(iter(schema))
    fields = [_field(table, name, dtype) for name, dtype in schema.items()]
    for field in fields:
        if field["@id"] == "items/image_ids":
            field["references"] = {"field": {"@id": "records/image_id"}}
    # First, since mlcroissant joins by the first reference only and cannot join lists.
    split = _leaf(table, "split", pl.String) | {
        "description": "Split, by subject.",
        "references": {"field": {"@id": "splits/name"}},
        # A loader may apply it twice, so it also has to match its own result.
        "source": _source(table, {"fileProperty": "fullpath"}, {"regex": "^([^/]+)(?:/.*)?$"}),
    }
    return {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        "key": {"@id": f"{table}/{key}"},
        "field": [split, *fields],
    }


def _field(table: str, name: str, dtype: pl.DataType) -> dict[str, object]:
    described = {"description": COLUMNS[table][name]}
    column = {"column": name}
    if dtype == tables.IMAGE:
        source = {"source": _source(table, column, {"jsonPath": "bytes"})}
        return _leaf(table, name, pl.String) | described | source | {"dataType": "sc:ImageObject"}
    if not isinstance(dtype, pl.List):
        return _leaf(table, name, dtype) | described | {"source": _source(table, column)}
    many = described | {"isArray": True, "arrayShape": "-1"}
    if not isinstance(dtype.inner, pl.Struct):
        return _leaf(table, name, dtype.inner) | many | {"source": _source(table, column)}
    parts = [
        _leaf(table, f"{name}/{part.name}", part.dtype)
        | {"description": COLUMNS[table][f"{name}/{part.name}"]}
        | {"source": _source(table, column, {"jsonPath": part.name})}
        for part in dtype.inner.fields
    ]
    whole = {"@type": "cr:Field", "@id": f"{table}/{name}", "name": name}
    return whole | many | {"subField": parts}


def _leaf(table: str, name: str, dtype: pl.DataType) -> dict[str, object]:
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{name}",
        "name": name.rpartition("/")[2],
        "dataType": DATA_TYPES[dtype.base_type()],
    }


def _source(
    table: str, extract: Mapping[str, str], transform: Mapping[str, str] | None = None
) -> dict[str, object]:
    made: dict[str, object] = {"fileSet": {"@id": f"{table}-files"}, "extract": dict(extract)}
    return made | {"transform": dict(transform)} if transform else made


def _inline(
    name: str, data_type: str | None, rows: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """A small table that stands in the datasheet itself; its first column is its key if typed."""
    columns = list(rows[0])
    typed = {"dataType": data_type, "key": {"@id": f"{name}/{columns[0]}"}} if data_type else {}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        **typed,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "dataType": "sc:Integer" if isinstance(rows[0][column], int) else "sc:Text",
            }
            for column in columns
        ],
        "data": [{f"{name}/{column}": row[column] for column in columns} for row in rows],
    }
