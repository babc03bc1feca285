#!/bin/sh
# The same with NNI's own commands: examples/nni/run_experiment.sh FOLDER
set -eu
folder=$1
bankwise nni init "$folder" --network tiny --data digits --budget 900B --epochs 20 --trial-epochs 5 --trials 8
nnictl create --config "$folder/config.yml" --port 8080   # returns at once; the page is at http://localhost:8080

# At any time, also while it runs: the best plan so far.
#     bankwise nni export "$folder"
# Interrupted, it goes on where it was:
#     nnictl stop && nnictl resume ID
# At the end, train the plan in full and write the file; `bankwise nni export` prints this command:
#     bankwise train --plan "$folder/plan.yaml" --data digits --recipe "$folder/recipe.yaml" --seed 0 --out "$folder/best"
