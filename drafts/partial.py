"""prime.csv, prime_epochs.csv and prime.md of the runs that are finished, below /root/scratch/partial"""
import sys; from pathlib import Path
sys.path[:0]=["/work/main/results","/work/main"]
import pandas as pd, prime, writing
runs=Path("/root/sweep2/runs/prime")
table=pd.read_csv(runs/"table.csv"); table=table[table["error"].isna()]
table=table.drop_duplicates("config_hash")
# in the order of the jobs
from darts_lab import sweeps; from darts_lab.runs import config_hash
order={config_hash(sweeps.complete(j)):n for n,j in enumerate(prime.jobs())}
table=table.assign(o=table["config_hash"].map(order)).sort_values("o").drop(columns="o")
others=pd.read_csv("/work/main/results/robustness.csv")
path=Path("/root/scratch/partial/prime.csv")
import os; os.chdir("/root/scratch/partial")
import io, contextlib
writing.written(path, runs, table, lambda t,e: prime.summary(t,others))
print(len(table), table.groupby(["space","seed"]).size().to_dict())
