"""Words that the lab and the replay share."""

from darts_lab.figures.curves import telling_operations


def counted(genotype, space) -> str:
    """How often each cell has the operations that compute nothing: "skip_connect 3 + 1"."""
    parts = []
    for operation in telling_operations(space):
        numbers = [genotype.count(operation, cell_type) for cell_type in space.cell_types]
        if any(numbers) or not parts:
            parts.append(f"{operation} {' + '.join(map(str, numbers))}")
    return ", ".join(parts)


def one_shot(record, task) -> str:
    return f"one-shot {task.metric} {task.show(record.valid_error)}"
