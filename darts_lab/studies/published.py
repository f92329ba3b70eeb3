"""The papers' numbers, with where each stands and how sure it is.

`table(name)` gives the tables and figure points of Zela et al. 2020 (`cite()`) as tidy rows, one number each. Tables
and figures are counted as in the authors' paper for the NeurIPS 2019 workshop MetaLearn, which is what was read: most
of its numbers are those of ICLR 2020, which counts otherwise. A number that stands in the ICLR version alone is here
only if another paper quotes it. The column `certainty` says how a number came here:

- "paper": read in the tables of the workshop paper;
- "figure": measured on the vector paths of its figures, exact to the digits that are given;
- "code": from a file of github.com/automl/RobustDARTS;
- "logs": computed from the search logs in that repository, which are other runs than those of the figures;
- "quoted": quoted by other papers, which `note` names;
- "listed": as listed by Papers with Code for that paper, where nobody has verified it, nor said whether it is a mean.

Of Maile et al. 2021 (DARTS-PRIME) there is the table "prime" alone: all that is known of its numbers are two entries of
that kind.

Errors, regrets and drops of accuracy are in per cent, learnable parameters in millions. A `spread` is a standard
deviation; those of the paper are population standard deviations (ddof=0) over 3 searches, each retrained once. A
`setting` is written `name=value`, several apart by blanks, under the names of this package where it has one:
`weight_decay` is the L2 factor, `drop_path` the largest probability of dropping a path. What lies off the axis of a
figure has no value (NaN), but for one point of Fig. 3 that its band gives; `note` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

PAPER, PRIME = "Zela et al. 2020", "Maile et al. 2021"


CERTAINTIES = ("paper", "figure", "code", "logs", "quoted", "listed")


COLUMNS = (
    *("paper", "table", "space", "data", "method", "setting", "statistic"),
    *("value", "spread", "certainty", "note"),
)


ERROR, ONE_SHOT, EIGENVALUE, DROP = "test error", "one-shot validation error", "dominant eigenvalue", "accuracy drop"


NAN = float("nan")


def cite() -> str:
    """Authors, title, venue and arXiv number of the paper that most numbers are from, in one line."""
    return (
        "Arber Zela, Thomas Elsken, Tonmoy Saikia, Yassine Marrakchi, Thomas Brox, Frank Hutter: "
        "Understanding and Robustifying Differentiable Architecture Search. ICLR 2020, arXiv 1909.09656"
    )


def table(name: str) -> pd.DataFrame:
    """The published numbers called `name` (one of `NAMES`; case does not matter), one a row, with the `COLUMNS`.

    What does not apply is None, or NaN where it is a number. What a table holds and where that stands is said by the
    function of this module that lists it. Raises ValueError for other names.
    """
    if not isinstance(name, str) or name.lower() not in _TABLES:
        raise ValueError(f"name: {name!r} is not known; known: {', '.join(NAMES)}")
    rows = [dict.fromkeys(COLUMNS) | {"paper": PAPER} | row for row in _TABLES[name.lower()]()]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype({"value": float, "spread": float})


def _row(where: str, certainty: str, statistic: str, cell: str, note: str | None = None, **known) -> dict:
    """One row. A cell is "4.66", "4.66±0.71", or off the axis: "off", "failed", ">10" where the axis ends at 10."""
    row = {"table": where, "certainty": certainty, "statistic": statistic, "note": note} | known
    if cell in ("off", "failed") or cell.startswith(">"):
        words = {"off": "off the axis", "failed": "off the axis, failed"}
        return row | {"value": NAN, "note": words.get(cell, f"off the axis, above {cell[1:]}")}
    value, _, spread = cell.partition("±")
    return row | {"value": float(value), "spread": float(spread or "nan")}


def _lines(text: str) -> Iterator[list[str]]:
    return (line.split() for line in text.strip().splitlines())


def _pairs(where, certainty, statistic, settings, text) -> Iterator[dict]:
    """Rows of lines `data space DARTS/DARTS-ES ...`, one pair for each setting."""
    for data, space, *cells in _lines(text):
        for setting, pair in zip(settings, cells, strict=True):
            for method, cell in zip(("DARTS", "DARTS-ES"), pair.split("/"), strict=True):
                yield _row(where, certainty, statistic, cell, space=space, data=data, method=method, setting=setting)


def _settings(name: str, values: str) -> list[str]:
    return [f"{name}={value}" for value in values.split()]


_DROP_PATHS = _settings("drop_path", "0.0 0.2 0.4 0.6")


_L2_FACTORS = _settings("weight_decay", "0.0003 0.0009 0.0027 0.0081 0.0243")


def _methods() -> Iterator[dict]:
    """Test error of four methods, mean ± population std of 3 searches (Table 1)."""
    for data, space, *cells in _lines("""
        cifar10  S1   3.17±0.15   4.66±0.71   3.05±0.07   3.03±0.08
        cifar10  S2   3.46±0.15   4.42±0.40   3.41±0.14   3.59±0.31
        cifar10  S3   2.92±0.04   4.12±0.85   3.71±1.14   2.99±0.34
        cifar10  S4  89.39±0.84   6.95±0.18   4.17±0.21   3.89±0.67
        cifar100 S1  25.81±0.39  29.93±0.41  28.90±0.81  24.94±0.81
        cifar100 S2  22.88±0.16  28.75±0.92  24.68±1.43  26.88±1.11
        cifar100 S3  24.58±0.61  29.01±0.24  26.99±1.79  24.55±0.63
        cifar100 S4  30.01±1.52  24.77±1.51  23.90±2.01  23.66±0.90
        svhn     S1   2.64±0.09   9.88±5.50   2.80±0.09   2.59±0.07
        svhn     S2   2.57±0.04   3.69±0.12   2.68±0.18   2.79±0.22
        svhn     S3   2.89±0.09   4.00±1.01   2.78±0.29   2.58±0.07
        svhn     S4   3.42±0.04   2.90±0.02   2.55±0.15   2.52±0.06
    """):
        for method, cell in zip(("RS-ws", "DARTS", "DARTS-ES", "DARTS-ADA"), cells, strict=True):
            yield _row("Table 1", "paper", ERROR, cell, space=space, data=data, method=method)


def _drop_path() -> Iterator[dict]:
    """Test error for four drop paths, with Cutout where it is not 0; one search, seed 1 (Fig. 10)."""
    return _pairs("Fig. 10", "figure", ERROR, _DROP_PATHS, """
        cifar10  S1   4.26/3.01    3.61/3.61    3.56/3.56    3.11/2.82
        cifar10  S2   4.85/3.60    4.06/3.48    3.66/3.66    3.48/4.92
        cifar10  S3   5.30/5.31    3.23/3.41    2.93/2.93    3.09/3.09
        cifar10  S4   7.20/4.24    4.16/4.16    3.89/3.89    3.58/3.58
        cifar100 S1  29.46/28.28  27.75/27.75  28.01/27.44  25.93/25.93
        cifar100 S2  27.92/26.10  22.30/22.58  23.06/23.06  22.38/22.38
        cifar100 S3  29.34/25.20  22.36/22.36  24.52/24.52  24.59/24.05
        cifar100 S4  26.55/26.55  22.29/22.29  21.34/21.34  22.18/22.18
        svhn     S1   >7.5/2.76    2.55/2.64    2.67/2.58    2.64/2.54
        svhn     S2   3.53/2.50    2.54/2.54    2.52/2.52    2.35/2.35
        svhn     S3   5.74/2.50    2.90/2.55    2.48/2.63    2.60/2.60
        svhn     S4   2.91/2.51    2.60/2.60    2.61/2.61    2.55/2.55
    """)  # fmt: skip


def _l2() -> Iterator[dict]:
    """Test error for five L2 factors, one search, seed 1 (Fig. 5).

    On CIFAR-10 the cells of S2 to S4 were retrained in a smaller network (16 channels, 8 cells) than for the table
    "drop_path", so the two do not compare there.
    """
    return _pairs("Fig. 5", "figure", ERROR, _L2_FACTORS, """
        cifar10  S1   4.26/3.01    3.94/3.18    3.20/3.02    3.11/3.11    2.82/2.82
        cifar10  S2   5.53/4.34    5.21/4.62    5.09/4.28    4.53/4.53    4.01/4.01
        cifar10  S3   6.72/7.08    6.42/5.37    4.77/5.08    4.46/4.42    4.11/4.18
        cifar10  S4   5.66/4.40    4.14/4.08    4.21/4.21    3.86/3.86    4.06/4.06
        cifar100 S1  29.46/28.12  30.48/25.76  27.07/28.29  24.25/25.28  26.29/26.58
        cifar100 S2  27.92/26.10  26.11/24.66  23.39/23.22  22.24/22.24  24.41/24.41
        cifar100 S3  29.34/25.20  30.93/23.98  26.35/25.24  23.99/23.99  26.70/23.39
        cifar100 S4  26.55/26.55  24.11/23.19  21.34/21.34  21.94/21.94  22.80/22.80
        svhn     S1    off/2.76    7.23/2.68    5.73/2.69    4.59/4.59    5.43/5.43
        svhn     S2   3.53/2.50    3.30/2.67    2.47/2.61    2.51/2.54    2.41/2.41
        svhn     S3   5.74/2.50    4.16/2.98    2.83/2.46    2.58/2.55    2.48/2.48
        svhn     S4   2.91/2.51    2.77/2.50    2.50/2.50    2.55/2.55  failed/failed
    """)  # fmt: skip


def _extra_strong() -> Iterator[dict]:
    """Test error with regularisation beyond the paper's (src/evaluation/results.yaml at f83f0a8, as 100 - accuracy).

    Retrained in the networks of "drop_path" and "l2".
    """
    settings = _settings("drop_path", "0.8") + _settings("weight_decay", "0.0729 0.2187")
    for data, space, *cells in _lines("""
        cifar10  S1   3.00   3.20   3.48
        cifar10  S2   3.14   7.03   6.87
        cifar10  S3   3.36   5.01  11.89
        cifar10  S4      -   7.51   7.49
        cifar100 S1  25.59  28.00  34.45
        cifar100 S2  23.12  26.88  30.05
        cifar100 S3  29.60  27.61  30.17
        cifar100 S4  22.06  99.23  35.14
        svhn     S1   2.59   2.59   2.72
        svhn     S2   2.39  29.54   2.69
        svhn     S3   3.02  29.71  29.24
        svhn     S4   2.50  80.41  80.41
    """):
        for setting, cell in zip(settings, cells, strict=True):
            if cell != "-":
                known = {"space": space, "data": data, "method": "DARTS", "setting": setting}
                yield _row("results.yaml", "code", ERROR, cell, **known)


def _summary() -> Iterator[dict]:
    """Test error of the best of 4 searches, the best by validation; DARTS alone is quoted elsewhere."""
    for data, *cells in _lines("""
        cifar10   3.84   4.85   3.34   7.20
        cifar100 29.46  26.05  28.90  22.85
        svhn      4.58   3.53   3.41   3.05
    """):
        for space, cell in zip(("S1", "S2", "S3", "S4"), cells, strict=True):
            known = {"space": space, "data": data, "method": "DARTS", "note": "best of 4; quoted by DARTS-PT"}
            yield _row("ICLR version", "quoted", ERROR, cell, **known)


def _seeds() -> Iterator[dict]:
    """What became of each of three seeds on CIFAR-10, for four drop paths (Table 2; errors are 100 - its accuracies).

    Test error, dominant eigenvalue at the end, one-shot validation error and parameters of the retrained network.
    """
    statistics = (ERROR, EIGENVALUE, ONE_SHOT, "parameters")
    for space, drop_path, *columns in _lines("""
        S1 0.0  3.84/5.57/4.57  1.023/0.835/0.698  12.78/12.99/13.02  2.24/1.93/2.03
        S1 0.2  3.61/3.34/3.80  0.148/0.264/0.228  15.76/15.68/15.78  2.63/2.84/2.48
        S1 0.4  3.56/3.06/3.24  0.192/0.199/0.149  17.72/17.82/17.21  2.63/2.99/3.17
        S1 0.6  3.11/3.07/3.04  0.300/0.255/0.256  20.83/20.82/21.16  3.38/3.02/3.17
        S2 0.0  4.85/4.52/3.89  0.684/0.409/0.268  11.51/11.60/11.65  0.93/0.86/0.97
        S2 0.2  4.85/4.60/3.86  0.270/0.217/0.145  14.71/15.19/14.64  1.28/1.44/1.36
        S2 0.4  3.66/3.50/3.56  0.304/0.411/0.282  17.97/17.34/16.80  1.28/1.28/1.36
        S2 0.6  3.48/3.65/3.71  0.292/0.295/0.281  20.14/19.81/20.30  1.21/1.28/1.36
        S3 0.0  5.30/3.73/3.34  0.496/0.535/0.446  11.22/10.85/11.33  2.21/2.43/2.85
        S3 0.2  3.22/3.16/3.26  0.179/0.185/0.202  14.39/14.40/14.50  3.62/4.04/2.99
        S3 0.4  2.93/3.15/3.52  0.156/0.370/0.184  16.97/16.76/16.57  4.10/3.74/3.38
        S3 0.6  3.09/5.44/3.56  0.239/0.275/0.280  20.14/19.97/20.32  4.46/2.30/2.66
        S4 0.0  7.20/6.78/6.86  0.400/0.442/0.314  13.67/13.28/13.54  1.05/1.13/1.05
        S4 0.2  4.16/3.92/3.85  0.070/0.054/0.079  18.99/17.57/17.97  1.44/1.44/1.44
        S4 0.4  3.89/3.70/3.72  0.064/0.057/0.049  20.51/20.33/21.04  1.44/1.44/1.44
        S4 0.6  3.58/3.64/3.36  0.057/0.060/0.066  25.46/25.26/25.63  1.44/1.44/1.44
    """):
        for statistic, column in zip(statistics, columns, strict=True):
            for seed, cell in enumerate(column.split("/"), start=1):
                known = {"space": space, "data": "cifar10", "method": "DARTS"}
                yield _row("Table 2", "paper", statistic, cell, setting=f"drop_path={drop_path} seed={seed}", **known)


def _points(where, statistics, text, **known) -> Iterator[dict]:
    """Rows of the points `x/y ...` of a scatter plot, numbered as they were drawn."""
    for number, point in enumerate(text.split(), start=1):
        for statistic, cell in zip(statistics, point.split("/"), strict=True):
            yield _row(where, "figure", statistic, cell, setting=f"point={number}", **known)


def _correlation() -> Iterator[dict]:
    """Dominant eigenvalue averaged over the search, and test error, of 24 searches (Fig. 4: Pearson 0.867).

    Four drop paths and four L2 factors, three seeds each; the figure does not say which point is which.
    """
    return _points("Fig. 4", ("mean dominant eigenvalue", ERROR), """
        0.3316/4.14 0.2916/4.21 0.3079/4.26 0.1883/3.56 0.1965/3.06 0.1833/3.24 0.1833/2.92 0.1363/2.82
        0.1791/3.20 0.2107/3.11 0.1916/3.07 0.1959/3.04 0.3937/3.84 0.4279/5.57 0.3879/4.57 0.1384/3.35
        0.1590/2.78 0.1476/3.11 0.2140/3.22 0.1920/3.00 0.2252/3.94 0.1911/3.61 0.2203/3.34 0.2278/3.80
    """, space="S1", data="cifar10", method="DARTS")  # fmt: skip


def _discretization() -> Iterator[dict]:
    """By how much accuracy falls when the searched model is discretized without retraining (Fig. 6)."""
    for data, space, cells in _lines("""
        cifar10  S1  8.864/1.240/1.510/0.736
        cifar10  S2  6.140/1.240/0.736/1.068
        cifar10  S3    >10/5.376/2.148/8.664
        cifar10  S4  5.912/0.268/-0.020/0.604
        cifar100 S1    >10/2.744/1.032/0.576
        svhn     S1  3.336/0.592/0.412/0.229
    """):
        for setting, cell in zip(_DROP_PATHS, cells.split("/"), strict=True):
            yield _row("Fig. 6", "figure", DROP, cell, space=space, data=data, method="DARTS", setting=setting)


def _sharpness_drop() -> Iterator[dict]:
    """Dominant eigenvalue at the end, and drop of accuracy on discretization, of 47 searches (Fig. 7: Spearman 0.736).

    Over several spaces and data sets; three decimals, because with two some ranks are shared.
    """
    return _points("Fig. 7", (EIGENVALUE, DROP), """
        0.5804/3.712 0.2495/2.864 0.2269/4.376 0.1367/5.600 1.5848/6.540 0.8070/7.468 0.6396/7.672 0.6281/13.080
        0.2935/2.138 0.1648/1.693 0.0933/0.631 0.0700/1.095 0.7379/6.136 0.6096/15.540 0.5310/6.320 0.5878/7.136
        0.5872/33.830 0.4911/19.810 0.9569/36.790 0.2855/7.232 0.1620/5.648 0.0689/0.240 0.0470/0.571 0.8479/8.864
        0.2598/1.240 0.2310/1.510 0.4408/0.736 2.1919/23.600 0.4170/2.744 0.3546/1.032 0.4437/0.576 0.3586/3.336
        0.1656/0.592 0.1521/0.412 0.2554/0.229 0.4924/6.140 0.3289/1.240 0.1832/0.736 0.3688/1.068 0.0949/1.515
        0.2857/5.376 0.2508/2.148 0.3166/8.664 0.2373/5.912 0.0613/0.268 0.0554/-0.020 0.0491/0.604
    """, method="DARTS")  # fmt: skip


def _s5() -> Iterator[dict]:
    """Test regret and one-shot validation error on S5 after every epoch, mean of 3 searches (Fig. 2, without its bands).

    S5 is the paper's space of 81 architectures, not what the authors' code calls s5.
    """
    known = {"space": "S5", "data": "cifar10"}
    for method, statistic, text in (
        ("DARTS", "test regret", """
            4.79 3.77 2.72 1.45 1.47 1.28 1.08 1.05 1.10 1.64 1.64 1.17 1.42 1.27 1.47 1.44 1.32 1.05 1.28 1.22
            1.29 1.29 1.01 0.71 0.60 0.23 0.28 0.22 0.15 0.21 0.19 0.21 0.25 0.28 0.21 0.19 0.25 0.18 0.13 0.14
            1.18 0.99 0.98 1.12 2.73 3.07 3.30 2.91 3.07 3.18
        """),
        ("RS-ws", "test regret", """
            1.24 1.35 1.44 2.14 1.04 1.39 1.36 2.18 1.39 1.13 1.19 1.59 1.78 1.31 0.98 1.16 1.81 1.22 1.20 1.44
            1.34 1.22 0.81 1.51 0.92 1.27 0.79 1.00 1.07 0.88 0.89 1.34 1.17 1.14 1.20 0.53 0.98 1.43 0.54 0.85
            0.53 1.60 1.43 1.00 0.90 0.95 0.97 0.98 1.41 1.12
        """),
        ("DARTS", ONE_SHOT, """
            47.93 40.83 34.35 32.26 28.41 25.90 24.95 25.21 23.55 22.42 21.58 21.47 21.42 20.65 19.27 19.66
            18.93 18.54 18.39 18.67 17.59 18.02 17.33 17.38 16.92 16.73 16.66 16.17 16.19 16.09 15.70 15.92
            15.43 15.54 15.15 14.87 15.02 14.88 14.59 14.47 14.50 14.51 14.00 14.19 14.14 14.24 14.03 14.06
            13.90 13.89
        """),
    ):  # fmt: skip
        for epoch, cell in enumerate(text.split()):
            yield _row("Fig. 2", "figure", statistic, cell, method=method, setting=f"epoch={epoch}", **known)


def _epochs() -> Iterator[dict]:
    """Test error of the architecture at an epoch, ± std, and the dominant eigenvalue then; 3 searches (Fig. 3).

    Epoch 50 is the end of the search. The eigenvalue's band in the figure is a variance and is left out; its last
    measurement, in epoch 49, is drawn at 50.
    """
    for space, *cells in _lines("""
        S1   3.49±.23 3.04±.15 2.97±.09 3.21±.28 3.62±.18 3.97±.40 3.87±.45 6.62±3.26 6.49±3.27 6.59±3.16 4.66±.71
        S2   3.72±.18 3.64±.38 3.49±.07 3.33±.18 3.63±.03 3.53±.10 3.61±.08 3.95±.37  4.94±1.86 5.34±1.63 4.42±.40
        S3  7.37±6.13 3.02±.05 2.84±.11 3.03±.06 4.77±.92 5.23±.15 5.22±.07 5.23±.21  5.28±.29  5.01±.27  4.12±.85
        S4  90.00±.33 3.46±.06 3.58±.18 3.69±.22 3.60±.08 3.87±.10 3.75±.25 4.17±.12  4.83±.50  6.02±.68  6.95±.18
    """):
        for epoch, cell in zip(range(0, 51, 5), cells, strict=True):
            note = "off the axis; middle of the band" if (space, epoch) == ("S4", 0) else None
            known = {"space": space, "data": "cifar10", "method": "DARTS", "setting": f"epoch={epoch}", "note": note}
            yield _row("Fig. 3", "figure", ERROR, cell, **known)
    for space, *cells in _lines("""
        S1  0.156 0.222 0.366 0.478 0.464 0.852
        S2  0.165 0.228 0.347 0.346 0.843 0.453
        S3  0.145 0.205 0.254 0.329 0.430 0.492
        S4  0.118 0.177 0.133 0.151 0.175 0.385
    """):
        for epoch, cell in zip((0, 10, 20, 30, 40, 49), cells, strict=True):
            known = {"space": space, "data": "cifar10", "method": "DARTS", "setting": f"epoch={epoch}"}
            yield _row("Fig. 3", "figure", EIGENVALUE, cell, **known)


def _disparity() -> Iterator[dict]:
    """End-point errors in pixels and parameters of disparity networks found in S6 (Tables 3 and 4).

    For six scales of the augmentation's variance, and for four L2 factors.
    """
    kinds = (
        *((f"{split} EPE", "FlyingThings3D") for split in ("one-shot validation", "test")),
        *(("test EPE", "Sintel"), ("parameters", None)),
    )
    for where, setting, *cells in _lines("""
        3  augmentation=0.0     4.49  3.83  5.69   9.65
        3  augmentation=0.1     3.53  3.75  5.97   9.65
        3  augmentation=0.5     3.28  3.37  5.22   9.43
        3  augmentation=1.0     4.61  3.12  5.47  12.46
        3  augmentation=1.5     5.23  2.60  4.15  12.57
        3  augmentation=2.0     7.45  2.33  3.76  12.25
        4  weight_decay=0.0003  3.95  3.25  6.13  11.00
        4  weight_decay=0.0009  5.97  2.30  4.12  13.92
        4  weight_decay=0.0027  4.25  2.72  4.83  10.29
        4  weight_decay=0.0081  4.61  2.34  3.85  12.16
    """):
        for (statistic, data), cell in zip(kinds, cells, strict=True):
            known = {"space": "S6", "data": data, "method": "DARTS", "setting": setting}
            yield _row(f"Table {where}", "paper", statistic, cell, **known)


def _language() -> Iterator[dict]:
    """Perplexities on Penn Treebank for four L2 factors, 4 searches each: box plot and one-shot model (Fig. 11).

    The cells chose between ReLU and identity alone and were trained for 1600 epochs. Boxes reach from the lower to the
    upper quartile; whiskers leave outliers out.
    """
    box = [f"test perplexity, {part}" for part in ("lower whisker", "lower quartile", "median", "upper quartile")]
    box += ["test perplexity, upper whisker", "test perplexity, outlier", "one-shot validation perplexity"]
    for factor, *cells in _lines("""
        5e-07     59.25  60.098  61.260  63.643  68.15       -  735.21
        1.5e-06   59.08  59.673  60.025  60.975  60.975  63.36  734.09
        4.5e-06   56.52  57.443  58.530  59.518  60.14       -  741.60
        1.35e-05  57.39  58.950  60.835  64.932  73.13       -  742.34
    """):
        for statistic, cell in zip(box, cells, strict=True):
            if cell != "-":
                known = {"space": "ReLU, identity", "data": "ptb", "method": "DARTS"}
                yield _row("Fig. 11", "figure", statistic, cell, setting=f"weight_decay={factor}", **known)


def _original_space() -> Iterator[dict]:
    """Test error in the full DARTS space, mean ± spread of 5 repetitions, as far as other papers quote it."""
    for data, method, cell, by in (
        ("cifar10", "R-DARTS(L2)", "2.95±0.21", "DARTS-PT, NASI, ROME"),
        ("cifar100", "DARTS", "20.58±0.44", "ROME"),
        ("cifar100", "R-DARTS(L2)", "18.01±0.26", "NASI, ROME"),
    ):
        known = {"space": "DARTS", "data": data, "method": method, "note": f"quoted by {by}"}
        yield _row("ICLR version", "quoted", ERROR, cell, **known)


def _stops() -> Iterator[dict]:
    """The epoch at which early stopping ends each search of seed 1 (Figs. 12 and 13, markers); 49 is the last epoch."""
    for where, settings, text in (
        ("Fig. 12", _DROP_PATHS, """
        S1  10,49,49,32     14,49,20,49     14,42,36,36
        S2  24,40,49,28     34,28,49,49     20,49,49,49
        S3  18,30,49,49     18,49,49,32     10,28,30,49
        S4  24,49,49,49     49,49,49,49     20,49,49,49
        """),
        ("Fig. 13", _L2_FACTORS, """
        S1  10,12,32,49,49  14,24,20,32,36  14,16,30,49,49
        S2  24,26,22,49,49  34,30,32,49,49  20,30,30,10,49
        S3  18,26,12,40,40  18,18,38,49,16  10,32,36,36,49
        S4  24,28,49,49,49  49,28,49,49,49  20,34,49,49,49
        """),
    ):  # fmt: skip
        for space, *columns in _lines(text):
            for data, cells in zip(("cifar10", "cifar100", "svhn"), columns, strict=True):
                for setting, cell in zip(settings, cells.split(","), strict=True):
                    known = {"space": space, "data": data, "method": "DARTS-ES", "setting": setting}
                    yield _row(where, "figure", "stop epoch", cell, **known)


def _logs() -> Iterator[dict]:
    """The authors' released searches (S1 on CIFAR-10, S3 on SVHN), means of seeds 1 to 3 (experiments/search_logs).

    The dominant eigenvalue at first, at last and on average; one-shot validation error and skip connections of the 8
    operations in the normal cell, at the end (DARTS) and where early stopping ends (DARTS-ES); and, for each seed,
    where that is. Of two runs of seed 1 on S3 with weight_decay=0.0027 it is the later one.
    """
    eigenvalue = [f"{EIGENVALUE}, {which}" for which in ("first", "last", "mean")]
    kinds = [(name, "DARTS") for name in eigenvalue]
    kinds += [(name, method) for name in (ONE_SHOT, "skips") for method in ("DARTS", "DARTS-ES")]
    for space, setting, stops, *cells in _lines("""
        S1 weight_decay=0.0003 10/10/18  0.166 0.660 0.399  12.80 17.72  7.0 4.0
        S1 weight_decay=0.0009 10/20/20  0.140 0.547 0.305  11.52 18.07  7.7 4.3
        S1 weight_decay=0.0027 30/28/22  0.157 0.437 0.213  11.76 17.01  6.3 2.7
        S1 weight_decay=0.0081 49/49/36  0.084 0.202 0.161  13.06 14.53  2.0 2.0
        S1 weight_decay=0.0243 49/38/49  0.113 0.224 0.166  16.40 19.67  1.0 1.0
        S1 drop_path=0.2       24/40/26  0.124 0.285 0.206  15.73 18.43  3.7 2.3
        S1 drop_path=0.4       49/49/14  0.113 0.291 0.189  17.69 20.23  3.7 2.7
        S1 drop_path=0.6       10/12/42  0.147 0.453 0.195  20.95 24.18  3.0 2.7
        S1 drop_path=0.8       34/24/26  0.137 0.319 0.229  26.46 23.97  3.7 1.7
        S3 weight_decay=0.0003 22/18/12  0.123 0.213 0.162   5.47  6.99  8.0 6.3
        S3 weight_decay=0.0009 36/20/24  0.199 0.256 0.134   5.22  7.52  7.7 5.7
        S3 weight_decay=0.0027 34/22/10  0.116 0.203 0.106   5.49  9.17  3.7 1.3
        S3 weight_decay=0.0081 49/49/42  0.101 0.191 0.124   6.60  6.93  0.7 0.7
        S3 weight_decay=0.0243 49/49/49  0.187 0.173 0.184  10.00 10.00  2.0 2.0
        S3 weight_decay=0.0729 49/49/49      - 0.001     -  81.00 81.00  8.0 8.0
        S3 weight_decay=0.2187 49/49/49      - 0.001     -  81.00 81.00  8.0 8.0
        S3 drop_path=0.2       49/42/30  0.192 0.182 0.136   9.23 10.05  3.3 1.7
        S3 drop_path=0.4       49/30/49  0.145 0.176 0.126  10.17 10.83  0.0 0.0
        S3 drop_path=0.6       22/24/49  0.146 0.195 0.136  11.61 12.83  0.3 0.3
        S3 drop_path=0.8       22/36/26  0.135 0.309 0.166  14.51 14.22  3.3 0.7
    """):
        known = {"space": space, "data": {"S1": "cifar10", "S3": "svhn"}[space]}
        for seed, cell in enumerate(stops.split("/"), start=1):
            seeded = {"method": "DARTS-ES", "setting": f"{setting} seed={seed}"}
            yield _row("search_logs", "logs", "stop epoch", cell, **known, **seeded)
        for (statistic, method), cell in zip(kinds, cells, strict=True):
            if cell != "-":
                yield _row("search_logs", "logs", statistic, cell, method=method, setting=setting, **known)


def _cost() -> Iterator[dict]:
    """What R-DARTS costs, in GPU days: four searches."""
    by = "four searches; quoted by DARTS-PT, NASI"
    yield _row("ICLR version", "quoted", "search cost in GPU days", "1.6", by, method="R-DARTS")


def _prime() -> Iterator[dict]:
    """DARTS-PRIME in the full space: test error, size, and what the search cost."""
    for data, *cells in (("cifar10", "2.62", "3.7", "0.5"), ("cifar100", "17.44", "3.16")):
        for statistic, cell in zip((ERROR, "parameters", "search cost in GPU days"), cells):
            known = {"paper": PRIME, "space": "DARTS", "data": data, "method": "DARTS-PRIME"}
            yield _row("Papers with Code", "listed", statistic, cell, "as listed by Papers with Code", **known)


_TABLES: dict[str, Callable[[], Iterator[dict]]] = {
    "methods": _methods,
    "summary": _summary,
    "original_space": _original_space,
    "drop_path": _drop_path,
    "l2": _l2,
    "extra_strong": _extra_strong,
    "seeds": _seeds,
    "epochs": _epochs,
    "s5": _s5,
    "correlation": _correlation,
    "discretization": _discretization,
    "sharpness_drop": _sharpness_drop,
    "stops": _stops,
    "disparity": _disparity,
    "language": _language,
    "logs": _logs,
    "cost": _cost,
    "prime": _prime,
}


NAMES = tuple(_TABLES)  # what `table` knows
