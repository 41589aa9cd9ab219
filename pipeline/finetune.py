"""finetune: LoRA on all accepted labels so far, with replay, from the base or the incumbent."""

import shutil

import polars as pl

from medq_engine import adapter, evaluation, figures, lessons, payoff, tables, training
from medq_engine.config import Params
from pipeline import answering, models, paths, stage


def paid(params: Params) -> pl.DataFrame:
    """What the labels of each kind brought on dev, in this round and those before."""
    dev = paths.BENCHMARK / "dev"
    items = tables.read(dev / "items.parquet", tables.ITEM)
    items = items.filter(pl.col("task") == "perception")
    model = answering.model(params, paths.CHALLENGER)
    images = tables.Images(dev / "records.parquet")
    after = evaluation.predict(model, images, items, **answering.settings(params))
    before = tables.read(paths.PREDICTIONS, tables.PREDICTION)
    labels = tables.read(paths.LABELS, tables.LABEL)
    incumbent = params.incumbent.round if params.incumbent else 0
    now = payoff.of_round(items, before, after, labels, params.round, incumbent)
    return pl.concat([tables.read(paths.PAYOFFS, payoff.PAYOFF), now])


def main() -> None:
    params = paths.params()
    settings = params.finetune
    labels = tables.read(paths.TRAINING, tables.TRAINING)
    replay = tables.read(paths.REPLAY, tables.TRAINING)
    trusted = [route for route, weight in settings.route_weight.items() if weight]
    count = labels["route"].is_in(trusted).sum()
    steps = lessons.steps_for(count, settings.steps, settings.steps_at)
    samples = lessons.mixture(
        labels,
        replay,
        steps * settings.batch,
        replay_share=settings.replay,
        fine_share=settings.fine_share,
        route_weight=settings.route_weight,
        views=settings.views,
        seed=params.seed,
    )
    if settings.start == "base":
        model = adapter.attach(
            models.load(params, adapter=None),
            settings.rank,
            settings.lora_alpha,
            settings.adapt,
            settings.train_whole,
            params.seed,
            settings.gradient_checkpointing,
        )
    else:
        incumbent = models.load(params, adapter=paths.CURRENT)
        model = adapter.resume(incumbent, settings.gradient_checkpointing)
    schedule = training.Schedule(
        steps=steps,
        batch=settings.batch,
        images_per_pass=settings.images_per_pass,
        turns=settings.turns,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=params.seed,
    )
    read = (vars(params), paths.TRAINING.read_bytes(), tables.folder_md5(paths.CURRENT))
    key = tables.fingerprint(repr(read).encode())
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
            "payoffs": paid(params).to_dict(as_series=False),
        },
        paths.METRICS / "finetune.json",
    )
    figures.learning_curve(losses, paths.FIGURES / "learning_curve.png")
    shutil.rmtree(paths.WORK / "finetune", ignore_errors=True)


if __name__ == "__main__":
    stage.run(main)
