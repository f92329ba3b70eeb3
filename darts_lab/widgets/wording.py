"""What both the lab and the replay say in the same words."""

from darts_lab.figures.curves import telling_operations


def counted(genotype, space) -> str:
    """How often the operations that do nothing stand in each cell: "skip_connect 3 + 1"."""
    found = []
    for operation in telling_operations(space):
        numbers = [genotype.count(operation, kind) for kind in space.cell_types]
        if any(numbers) or not found:
            found.append(f"{operation} {' + '.join(map(str, numbers))}")
    return ", ".join(found)
