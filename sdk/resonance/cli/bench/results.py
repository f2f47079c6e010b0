# SPDX-License-Identifier: MIT
"""Which results does a user mean: files of runs, directories of them, a scene of an experiment?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from resonance.bench.comparing import scene_of
from resonance.bench.errors import IncomparableError, PlanError, ResultFormatError
from resonance.bench.records import Experiment, Run, Scene, read_result

__all__ = ["read_scene"]

_BASELINE: Final = "baseline"
_PLACEBO: Final = "placebo"
"""As `resonance bench run` calls them by itself."""


def read_scene(
    paths: Sequence[Path],
    *,
    baseline: str | None = None,
    placebo: str | None = None,
    scene: str | None = None,
) -> Scene:
    """Read what is to be compared.

    Parameters
    ----------
    paths : sequence of Path
        Files of runs and directories of such files; or one file of an experiment.
    baseline : str, optional
        Name of an arm; by default the first, of a directory the one of that name, of an
        experiment the scene's own.
    placebo : str, optional
        A file of a run, or the name of an arm; by default the one of that name.
    scene : str, optional
        Of an experiment, which one; needed where it has several.

    Returns
    -------
    Scene

    Raises
    ------
    BenchError
        Something is no result, there is no such scene or arm, or runs may not be compared.
    OSError
        A file cannot be read.
    """
    files = _files(paths, placebo)
    results = {path: read_result(path) for path in files}
    experiments = [result for result in results.values() if isinstance(result, Experiment)]
    if experiments:
        if len(results) > 1:
            raise PlanError("files", "an experiment is compared in itself; give it alone")
        return _told(_chosen(experiments[0], scene), baseline, placebo)
    if scene is not None:
        raise PlanError("--scene", "only a file of an experiment has scenes; these are runs")
    runs = _named({path: run for path, run in results.items() if isinstance(run, Run)})
    names = [run.name for run in runs.values()]
    if baseline is None:
        baseline = _first(names, is_ordered=not paths[0].is_dir())
    if placebo is None:
        placebo = _PLACEBO if _PLACEBO in names and baseline != _PLACEBO else None
    elif Path(placebo).is_file():
        placebo = runs[Path(placebo).resolve()].name
    return scene_of(list(runs.values()), baseline, placebo)


def _first(names: Sequence[str], *, is_ordered: bool) -> str:
    """Return the arm that the others are compared with; files of a directory have no order."""
    arms = [name for name in names if name != _PLACEBO] or list(names)
    if is_ordered:
        return names[0]
    if _BASELINE in arms or len(arms) == 1:
        return _BASELINE if _BASELINE in arms else arms[0]
    raise PlanError("--baseline", f"say which arm it is; there are: {', '.join(names)}")


def _files(paths: Sequence[Path], placebo: str | None) -> list[Path]:
    """Return the files to read, each once; a directory is the results in it."""
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise ResultFormatError(str(path), "no file in it ends in .json")
        for file in inside:
            if file.resolve() in files:
                raise IncomparableError("files", f"{file} is given twice; a file beside itself")
            files.append(file.resolve())
    if placebo is not None and Path(placebo).is_file() and Path(placebo).resolve() not in files:
        files.append(Path(placebo).resolve())
    return files


def _named(runs: dict[Path, Run]) -> dict[Path, Run]:
    """Call those by their file whose name is not theirs alone."""
    times = Counter(run.name for run in runs.values())
    return {
        path: run if times[run.name] == 1 else msgspec.structs.replace(run, name=path.stem)
        for path, run in runs.items()
    }


def _chosen(experiment: Experiment, name: str | None) -> Scene:
    known = ", ".join(repr(scene.name) for scene in experiment) or "none"
    if name is None:
        if len(experiment.scenes) == 1:
            return experiment.scenes[0]
        raise PlanError("--scene", f"say which one; there are: {known}")
    try:
        return experiment.scene(name)
    except KeyError:
        raise PlanError("--scene", f"none is called {name!r}; there are: {known}") from None


def _told(scene: Scene, baseline: str | None, placebo: str | None) -> Scene:
    known = [run.name for run in scene.runs]
    for option, name in (("--baseline", baseline), ("--placebo", placebo)):
        if name is not None and name not in known:
            raise PlanError(option, f"no arm is called {name!r}; there are: {', '.join(known)}")
    return msgspec.structs.replace(
        scene,
        baseline=baseline or scene.baseline,
        placebo=placebo or (scene.placebo if baseline in {None, scene.baseline} else None),
    )
