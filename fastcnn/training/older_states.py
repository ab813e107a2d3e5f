"""Conversion of states that earlier versions saved."""

from fastcnn.training.tasks import Classification


def as_now(state: dict, own: dict) -> dict:
    """Convert the state of a run to the form of this version; a current state is returned as it is.

    Parameters
    ----------
    state : dict
        The saved state.
    own : dict
        The current state of the run that is to be resumed.
    """
    return _with_groups(_with_task(state), own)


def _with_task(state: dict) -> dict:
    """Add the task, which was always a classification before there were tasks."""
    match state:
        case {"progress": {"counted": counted, "right": right, **others}}:
            state = state | {"progress": others | {"sums": {"counted": counted, "right": right}}}
    return state if "task" in state else state | {"task": repr(Classification())}


def _with_groups(state: dict, own: dict) -> dict:
    """Convert a state from before optimizers had parameter groups."""
    match state:
        case {"optimizer": {"class": kind, "state": {} as old}} if kind == own["optimizer"]["class"]:
            if "param_groups" in old:
                return state
            now = own["optimizer"]["state"]
            state = {**state, "optimizer": {"class": kind, "state": _grouped(old, now)}}
        case _:
            return state
    match state, own:
        case {"scheduler": {"class": kind, "state": {} as old}}, {"scheduler": {"class": same, "state": {} as mine}}:
            if kind == same:
                state["scheduler"] = {"class": kind, "state": _listed(old, mine)}
    for callback in state.get("callbacks", []):
        match callback:
            case {"class": "BestWeights", "state": {"buffers": {"mean": _, "steps": _} as buffers}}:
                buffers.setdefault("largest", now["largest"])
    return state


def _grouped(old: dict, own: dict) -> dict:
    """Put the settings into one group; leave out ``decay_per_step``, which SGD once had, if it is 0."""
    rest = {name: value for name, value in old.items() if (name, value) != ("decay_per_step", 0)}
    group = own["param_groups"][0]
    settings = {name: rest.pop(name, value) for name, value in group.items()}
    buffers = {name: rest.pop(name, value) for name, value in own.items() if name != "param_groups"}
    return {"param_groups": [settings], **buffers, **rest}


def _listed(old: dict, own: dict) -> dict:
    """Make one-element lists of numbers that now exist for each group; take missing entries from ``own``."""
    rest = {"base_lrs" if name == "first_lr" else name: value for name, value in old.items()}
    found = {}
    for name, value in own.items():
        given = rest.pop(name, value)
        if name == "schedulers" and isinstance(given, list) and len(given) == len(value):
            given = [_listed(part, mine) for part, mine in zip(given, value, strict=True)]
        found[name] = [given] if isinstance(value, list) and isinstance(given, (int, float)) else given
    return found | rest
