#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=08:00:00
# A Ray on all nodes of the job, and the sweep on the first; a job that is cut off goes on when it is submitted again.
# A sketch: Ray's authentication token has to be there for every node and for the sweep, see Ray's manual.
set -euo pipefail
file=$1 out=$2 workers=${3:-${SLURM_NNODES:-1}}
port=${RAY_PORT:-6379}
export RAY_USAGE_STATS_ENABLED=0
head=$(hostname)
ray start --head --node-ip-address="$(hostname -i | awk '{print $1}')" --port="$port" \
    --num-cpus="${SLURM_CPUS_PER_TASK:-2}" --include-dashboard=false --object-store-memory=104857600 --disable-usage-stats
trap 'ray stop' EXIT
if command -v srun >/dev/null && [ "${SLURM_NNODES:-1}" -gt 1 ]; then
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
        ray start --address="$head:$port" --num-cpus="${SLURM_CPUS_PER_TASK:-2}" --block &
    sleep 20
fi
RAY_ADDRESS="$(hostname -i | awk '{print $1}'):$port" \
    emotion-interp sweep "$file" --out "$out" --engine ray --workers "$workers"
