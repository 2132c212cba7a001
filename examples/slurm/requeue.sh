#!/bin/bash
# A job that takes longer than its time: it ends early, and Slurm starts it again
# until all is done. The program's loop needs a journal (split.Journal). Submit it
# with: sbatch requeue.sh
#SBATCH --job-name=dlp
#SBATCH --ntasks=32
#SBATCH --time=01:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out

program=${PROGRAM:-./program}

# When the time is over. From it the program's loop reckons what still fits. Where
# Slurm does not tell, the signal has to do: SIGUSR1, 120 s before.
end=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e) && end=$(date -d "$end" +%s) && export DLP_DEADLINE=$end

srun "$program" "$@"
status=$?

# 75: the loop came to an end early, and what it has done is in its journal.
if [ $status = 75 ]; then
	exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
