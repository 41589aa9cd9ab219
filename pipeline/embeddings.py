"""embeddings: every pool shard through the frozen encoder; a shard that is done is not done again.

A file is named by the content that it follows from (shard and weights), so an interrupted run goes
on where it was, and a new shard costs only itself.
"""

import hashlib
import shutil

from tqdm import tqdm

from medq_engine import encoders, tables
from medq_engine.simulation import from_png
from pipeline import encoding, paths, stage


def main() -> None:
    params = paths.params()
    settings = params.embeddings
    mllm = encoding.encoder(params)
    weights = tables.folder_md5(paths.BASE)
    scratch = paths.WORK / "embeddings"
    shutil.rmtree(paths.EMBEDDINGS, ignore_errors=True)
    paths.EMBEDDINGS.mkdir(parents=True)
    for shard in tqdm(sorted(paths.POOL.glob("*.parquet")), desc="embeddings"):
        source = hashlib.md5(shard.read_bytes(), usedforsecurity=False).hexdigest()
        key = hashlib.md5(
            f"{settings.encoder}/{weights}/{source}".encode(), usedforsecurity=False
        ).hexdigest()
        done = scratch / f"{key}.parquet"
        if not done.exists():
            records = tables.read(shard, tables.RECORD)
            images = [from_png(image["bytes"]) for image in records["image"]]
            vectors = encoders.encode(settings.encoder, images, mllm, settings.images_per_batch)
            rows = (
                {"image_id": i, "modality": m, "shard": shard.name, "vector": v.tolist()}
                for i, m, v in zip(records["image_id"], records["modality"], vectors, strict=True)
            )
            tables.write(tables.table(rows, tables.EMBEDDING), done, tables.EMBEDDING)
        shutil.copyfile(done, paths.EMBEDDINGS / done.name)


if __name__ == "__main__":
    stage.run(main)
