"""The benchmark: methods x labelled ratios x seeds on one study, and the tables and pictures of it.

matrix.py        which runs there are, and in which folder each lives
commands.py      the `cps4` commands that make a run
shared_warmup.py the warm-up that rows share
steps.py         a process that runs them one after the other
pool.py          such processes, each kept for the next run
execute.py       one run after the other or side by side, resumable
results.py       the small file that is kept of a finished run
scores.py        what the finished runs scored, case by case
significance.py  paired tests of every row against a reference row
tables.py        the paper's table, numbering and shape apart, cost
figures.py       ratio curve, training curves, ablation, overlays
attention.py     prompt maps of several methods side by side
page.py          all of it as one HTML report
"""
