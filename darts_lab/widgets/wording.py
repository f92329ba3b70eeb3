"""Words that the lab and the replay share."""

from darts_lab.figures.curves import telling_operations


def counted(genotype, space) -> str:
    """How often each cell has the operations that compute nothing: "skip_connect 3 + 1"."""
    parts: list[str] = []
    for operation in telling_operations(space):
        numbers = [genotype.count(operation, cell_type) for cell_type in space.cell_types]
        if any(numbers) or not parts:
            parts.append(f"{operation} {' + '.join(map(str, numbers))}")
    return ", ".join(parts)


def one_shot(record, task) -> str:
    return f"one-shot {task.metric} {task.show(record.valid_error)}"


def forgets(history) -> bool:
    """Whether L2 was raised by hand and the supernet has not yet learnt again what it knew before.

    It is the weights that forget, not the running statistics of the norms: of S2 at laptop scale, seed 210, raised from
    3e-4 to 0.0243 after epoch 7, the training error went from 12 to 86 % and the one-shot error from 41 to 90 %, and to
    81 to 91 % with the statistics of the batch.
    """
    for before, record in zip(history, history[1:], strict=False):
        if (record.changed or {}).get("weight_decay", 0.0) > before.weight_decay:
            return history[-1].train_error > before.train_error and history[-1].valid_error > before.valid_error
    return False
