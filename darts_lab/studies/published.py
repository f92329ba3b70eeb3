"""The papers' numbers, each with its source and certainty.

`table(name)` gives the tables and figure points of Zela et al. 2020 (`cite()`) as tidy rows, one number each. Tables
and figures are numbered as in the authors' paper for the NeurIPS 2019 workshop MetaLearn, from which they were read;
the ICLR 2020 version numbers them otherwise. A number that is only there is included only if another paper quotes it.
The column `certainty` says where a number comes from:

- "paper": read in the tables of the paper, of Zela et al. the workshop paper;
- "figure": measured on the vector paths of its figures, exact to the digits given;
- "code": from a file of github.com/automl/RobustDARTS;
- "logs": computed from the search logs in that repository, which are other runs than those of the figures;
- "quoted": quoted by other papers, which `note` names;
- "listed": listed by Papers with Code for that paper; not verified, and not known to be a mean.

The table "prime" is of Maile et al. 2021 (DARTS-PRIME), "later" of the papers that its rows name. Errors, regrets and
drops of accuracy are in per cent, learnable parameters in millions. A `spread` is a standard deviation; those of the
paper are population standard deviations (ddof=0) over 3 searches, each retrained once. A `setting` is `name=value`,
several separated by spaces, with this package's names: `weight_decay` is the L2 factor, `drop_path` the largest
probability of dropping a path. A point outside the axes of a figure has no value (NaN), except one of Fig. 3 that
follows from its band; `note` says so."""

from importlib.resources import files

import pandas as pd

CERTAINTIES = ("paper", "figure", "code", "logs", "quoted", "listed")

TABLES = {  # name -> what it holds; the numbers are in published.csv
    "methods": "Test error of four methods, mean ± population std of 3 searches (Table 1).",
    "summary": "Test error of the best of 4 searches, the best by validation; DARTS alone is quoted elsewhere.",
    "original_space": "Test error in the full DARTS space, mean ± spread of 5 repetitions, as other papers quote it.",
    "drop_path": "Test error for four drop paths, with Cutout where it is not 0; one search, seed 1 (Fig. 10).",
    "l2": (
        "Test error for five L2 factors, one search, seed 1 (Fig. 5). On CIFAR-10, not to be compared with "
        '"drop_path": the cells of S2 to S4 were retrained in a smaller network (16 channels, 8 cells).'
    ),
    "extra_strong": (
        "Test error with regularisation beyond the paper's (src/evaluation/results.yaml at f83f0a8, as 100 - "
        'accuracy). Retrained in the networks of "drop_path" and "l2".'
    ),
    "seeds": (
        "Each of three seeds on CIFAR-10, for four drop paths (Table 2; errors are 100 - its accuracies). Test error, "
        "dominant eigenvalue at the end, one-shot validation error and parameters of the retrained network."
    ),
    "epochs": (
        "Test error of the architecture at an epoch, ± std, and the dominant eigenvalue then; 3 searches (Fig. 3). "
        "Epoch 50 is the end of the search. The eigenvalue's band in the figure is a variance and is left out; its "
        "last measurement, in epoch 49, is drawn at 50."
    ),
    "s5": (
        "Test regret and one-shot validation error on S5 after every epoch, mean of 3 searches (Fig. 2, without its "
        "bands). S5 is the paper's space of 81 architectures, not the space called s5 in the authors' code."
    ),
    "correlation": (
        "Dominant eigenvalue averaged over the search, and test error, of 24 searches (Fig. 4: Pearson 0.867). Four "
        "drop paths and four L2 factors, three seeds each; the figure does not say which point is which."
    ),
    "discretization": "By how much accuracy falls when the searched model is discretized without retraining (Fig. 6).",
    "sharpness_drop": (
        "Dominant eigenvalue at the end, and drop of accuracy on discretization, of 47 searches in several spaces and "
        "data sets (Fig. 7: Spearman 0.736). Three decimals, because with two some ranks are shared."
    ),
    "stops": "The epoch at which early stopping ends each search of seed 1 (markers of Figs. 12, 13); 49 is the last.",
    "disparity": (
        "End-point errors in pixels and parameters of disparity networks found in S6 (Tables 3 and 4), for six scales "
        "of the augmentation's variance, and for four L2 factors."
    ),
    "language": (
        "Perplexities on Penn Treebank for four L2 factors, 4 searches each: box plot and one-shot model (Fig. 11). "
        "The cells chose only between ReLU and identity and were trained for 1600 epochs. Boxes reach from the lower "
        "to the upper quartile; whiskers leave outliers out."
    ),
    "logs": (
        "The authors' released searches (S1 on CIFAR-10, S3 on SVHN), means of seeds 1 to 3 (experiments/search_logs). "
        "The first, last and mean dominant eigenvalue; one-shot validation error and skip connections of the 8 "
        "operations in the normal cell, at the end (DARTS) and where early stopping ends (DARTS-ES); and, for each "
        "seed, where that is. Of two runs of seed 1 on S3 with weight_decay=0.0027 it is the later one."
    ),
    "cost": "What R-DARTS costs, in GPU days: four searches.",
    "prime": "DARTS-PRIME in the full space: test error, size, and what the search cost.",
    "later": "Test error on S1 to S4 of methods that came later, where it was read in a public text (docs/methods).",
}
NAMES = tuple(TABLES)


def cite() -> str:
    """Authors, title, venue and arXiv number of the paper from which most numbers are, in one line."""
    return (
        "Arber Zela, Thomas Elsken, Tonmoy Saikia, Yassine Marrakchi, Thomas Brox, Frank Hutter: "
        "Understanding and Robustifying Differentiable Architecture Search. ICLR 2020, arXiv 1909.09656"
    )


def table(name: str) -> pd.DataFrame:
    """The published table `name` (one of `NAMES`, in any case), one number per row; `TABLES` describes each.

    Columns: paper, table, space, data, method, setting, statistic, value, spread, certainty, note. An entry that does
    not apply is None, or NaN in a column of numbers. Raises ValueError for other names.
    """
    if not isinstance(name, str) or name.lower() not in TABLES:
        raise ValueError(f"name: {name!r} is not known; known: {', '.join(NAMES)}")
    with (files(__package__) / "published.csv").open() as file:
        rows = pd.read_csv(file, dtype={"value": float, "spread": float}, keep_default_na=False, na_values=[""])
    rows = rows[rows["name"] == name.lower()].drop(columns="name").reset_index(drop=True)
    words = rows.columns.difference(["value", "spread"])
    return rows.assign(**{column: rows[column].astype(object).where(rows[column].notna(), None) for column in words})
