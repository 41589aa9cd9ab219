"""base: train the nano model from scratch on phantoms with the taught faults."""

import shutil

from medq_engine import nano, phantom_lessons, training
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    taught, size = params.faults.taught, params.images.size
    draws = f"teach-{params.base.seed}"
    teaching = phantom_lessons.draw_phantoms(params.base.phantoms, size, taught, draws)
    training.deterministic(params.base.seed, params.model.threads)
    mllm = nano.build(size, params.base.hidden, params.base.vision_layers, params.base.text_layers)
    decay, seed = params.base.weight_decay, params.base.seed
    same = {"weight_decay": decay, "seed": seed, "images_per_pass": params.base.words.batch}
    vision = training.Schedule(turns=1, **same, **vars(params.base.vision))
    words = training.Schedule(**same, **vars(params.base.words))
    nano.teach(mllm, teaching, vision, words, paths.WORK)
    shutil.rmtree(paths.BASE, ignore_errors=True)
    nano.save(mllm, paths.BASE)


if __name__ == "__main__":
    stage.run(main)
