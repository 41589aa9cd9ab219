"""speed (`make bench-degradations`, no stage): how fast faults are simulated and a pool is drawn.

Prints images per second of every degradation at SIDE px on one core, and the time of a pool of POOL
images at POOL_SIDE px on all cores, with its progress.
"""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from medq_engine import phantoms, tables, worlds
from medq_engine.degradations import STRENGTHS, for_modality
from medq_engine.simulation import seeded
from medq_engine.vocabulary import MODALITIES
from pipeline import paths, stage

SIDE, REPEATS = 256, 12
POOL, POOL_SIDE = 10_000, 128


def images_per_second(simulate, strength: float, images: list[np.ndarray]) -> float:
    """Of one core, after one image that fills the caches."""
    rng = np.random.default_rng(0)
    simulate(images[0], strength, rng)
    start = time.perf_counter()
    for repeat in range(REPEATS):
        simulate(images[repeat % len(images)], strength, rng)
    return REPEATS / (time.perf_counter() - start)


def main() -> None:
    params = paths.params()
    print(f"images per second at {SIDE} px, one core, severity severe")
    with threadpool_limits(limits=1):
        for modality in MODALITIES:
            images = [phantoms.draw(modality, SIDE, seeded("speed", modality, n)) for n in range(3)]
            for degradation in for_modality(modality):
                strength = STRENGTHS[degradation.name][modality]["severe"]
                rate = images_per_second(degradation.simulate, strength, images)
                print(f"  {modality:<15} {degradation.name:<22} {rate:8.0f}")
    names = worlds.names_by_modality([*params.faults.taught, *params.faults.rare])
    mix = params.pool
    shares = worlds.pool_shares(names, params.faults.rare, mix.common_share, mix.rare_share)
    world = worlds.World(
        split="speed",
        size=POOL_SIDE,
        scenes=worlds.scenes_of(tables.read(paths.SCENES, tables.SCENE), "pool"),
        phantom_share=1.0,  # scenes are stored at the working resolution; phantoms cost the most
        fill_below=params.images.fill_below,
        plan=worlds.drawn_plan(shares, mix.compound_share, POOL, params.seed, "speed"),
        per_scene=1,
        seed=params.seed,
    )
    start = time.perf_counter()
    made = worlds.make_all(world)
    seconds = time.perf_counter() - start
    print(f"pool of {len(made)} images at {POOL_SIDE} px, all phantoms: {seconds:.0f} s")


if __name__ == "__main__":
    stage.run(main)
