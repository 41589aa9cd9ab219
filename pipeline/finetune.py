"""finetune: LoRA from the base on all accepted labels so far, with replay."""

import shutil

from medq_engine import adapter, figures, lessons, tables, training
from pipeline import models, paths, stage


def main() -> None:
    params = paths.params()
    settings = params.finetune
    base = models.load(params, adapter=None)
    labels = tables.read(paths.TRAINING, tables.TRAINING)
    replay = tables.read(paths.REPLAY, tables.TRAINING)
    samples = lessons.mixture(
        labels, replay, settings.replay, settings.route_weight, settings.views, params.seed
    )
    model = adapter.attach(
        base,
        settings.rank,
        settings.lora_alpha,
        settings.adapt,
        settings.train_whole,
        params.seed,
        settings.gradient_checkpointing,
    )
    schedule = training.Schedule(
        steps=settings.steps,
        batch=settings.batch,
        images_per_pass=settings.images_per_pass,
        turns=settings.turns,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=params.seed,
    )
    key = tables.fingerprint(repr((vars(params), paths.TRAINING.read_bytes())).encode())
    trainable = adapter.trainable(model)
    done = training.train(model, samples, schedule, paths.WORK / "finetune" / f"{key}.pt")
    if not done.main:
        return
    losses = done.losses
    shutil.rmtree(paths.CHALLENGER, ignore_errors=True)
    adapter.save(model, paths.CHALLENGER, done.weights)
    tables.write_json(
        {
            "labels": len(labels),
            "samples": len(samples),
            "steps": len(losses),
            "loss_first": sum(losses[:10]) / len(losses[:10]),
            "loss_last": sum(losses[-10:]) / len(losses[-10:]),
            "trainable_parameters": trainable,
            "losses": losses,
        },
        paths.METRICS / "finetune.json",
    )
    figures.learning_curve(losses, paths.FIGURES / "learning_curve.png")
    shutil.rmtree(paths.WORK / "finetune", ignore_errors=True)


if __name__ == "__main__":
    stage.run(main)
