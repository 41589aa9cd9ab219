"""replay: a sample of what the base was taught with, mixed into fine-tuning against forgetting."""

from medq_engine import descriptions, phantom_lessons, tables
from medq_engine.simulation import content_id, seeded
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    drawn = phantom_lessons.draw_phantoms(
        params.replay.images,
        params.images.size,
        params.faults.taught,
        f"teach-{params.base.seed}",
    )
    rows = []
    for phantom in drawn:
        image_id = content_id(phantom.png)
        lesson = descriptions.turns(phantom.modality, phantom.findings, seeded("replay", image_id))
        turns = [{**vars(turn), "options": list(turn.options)} for turn in lesson]
        image = {"bytes": phantom.png, "path": f"{image_id}.png"}
        rows.append(
            {
                "image_id": image_id,
                "modality": phantom.modality,
                "source": "medq_engine.phantoms",
                "image": image,
                "turns": turns,
                "route": "expert",
            }
        )
    tables.write(tables.table(rows, tables.TRAINING), paths.REPLAY, tables.TRAINING)


if __name__ == "__main__":
    stage.run(main)
