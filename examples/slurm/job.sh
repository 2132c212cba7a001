#!/bin/bash
# A job of four nodes with eight ranks each. Submit it with: sbatch job.sh
#SBATCH --job-name=dlp
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --output=%x-%j.out

# The program, built once where all nodes see it: CGO_ENABLED=0 go build -o wordfreq ./examples/wordfreq
program=${PROGRAM:-./wordfreq}

# Every rank may use what Slurm gave its task, and no more.
export GOMAXPROCS=${SLURM_CPUS_PER_TASK:-1} OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

# A line of progress now and then, which suits a log file.
export DLP_PROGRESS=log

# dlprun starts as many ranks as the allocation has tasks, on all of its nodes,
# and ends all of them, with one line that says why, when one fails. Without
# dlprun this does it, too, but says less: srun --mpi=pmi2 "$program" "$@"
exec dlprun --with srun "$program" "$@"
