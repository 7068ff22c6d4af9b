#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=08:00:00
# A Ray on all nodes of the job, and the sweep on the first; a job that is cut off goes on when it is submitted again.
#   sbatch slurm.sh sweep.toml /shared/runs/layers 4
# Without srun it is a Ray of one node: bash slurm.sh sweep.toml runs/layers 2
set -euo pipefail
file=$1 out=$2 workers=${3:-${SLURM_NNODES:-1}}
port=${RAY_PORT:-6379} cpus=${SLURM_CPUS_PER_TASK:-2}
address="$(hostname -i | awk '{print $1}'):$port"
# who knows the token may run code in this Ray: made for this job, it goes to the nodes in srun's environment, to no file
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_worker_niceness=${RAY_worker_niceness:-0}
export RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(python3 -c 'import secrets; print(secrets.token_hex(32))')}

# --block, and ended by its process id: `ray stop` would end every Ray of this user on a shared node
ray start --head --node-ip-address="${address%:*}" --port="$port" --num-cpus="$cpus" --include-dashboard=false \
    --object-store-memory=104857600 --disable-usage-stats --block &
nodes=($!)
trap 'kill "${nodes[@]}" 2>/dev/null; wait' EXIT
tries=0
until ray health-check --address "$address" >/dev/null 2>&1; do
    kill -0 "${nodes[0]}"
    [ $((tries += 1)) -lt 60 ]
    sleep 2
done
if command -v srun >/dev/null && [ "${SLURM_NNODES:-1}" -gt 1 ]; then
    # the sweep waits for nobody: their workers start as the nodes come
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$(hostname)" \
        ray start --address="$address" --num-cpus="$cpus" --block &
    nodes+=($!)
fi
RAY_ADDRESS="$address" emotion-interp sweep "$file" --out "$out" --engine ray --workers "$workers"
