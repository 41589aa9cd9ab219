"""current: the incumbent adapter, from the commit that trained it, or the identity."""

import shutil

from medq_engine import adapter, rounds, tables
from medq_engine.config import remote
from pipeline import models, paths, stage


def main() -> None:
    params = paths.params()
    shutil.rmtree(paths.CURRENT, ignore_errors=True)
    if remote(params.model):
        # A server takes no adapter; the folder says so, since the stages depend on it.
        tables.write_json({"model": params.model.id}, paths.CURRENT / "endpoint.json")
        return
    incumbent = params.incumbent
    if incumbent is None:
        lora = params.finetune
        fresh = adapter.attach(
            models.load(params, adapter=None),
            lora.rank,
            lora.lora_alpha,
            lora.adapt,
            lora.train_whole,
            params.seed,
        )
        adapter.save(fresh, paths.CURRENT)
        return
    rounds.materialise_folder(paths.CHALLENGER, incumbent.rev, paths.CURRENT)
    found = tables.folder_md5(paths.CURRENT)
    if found != incumbent.md5:
        shutil.rmtree(paths.CURRENT)
        raise adapter.AdapterError(
            f"models/challenger of commit {incumbent.rev} has md5 {found}, but "
            f"params.yaml: incumbent.md5 says {incumbent.md5}. Restore that round's data "
            "(`dvc fetch` or `dvc pull` from its remote), or correct params.yaml."
        )


if __name__ == "__main__":
    stage.run(main)
