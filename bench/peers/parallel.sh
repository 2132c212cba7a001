#!/bin/sh
# GNU parallel with an empty command on two jobs, one process an item: the time of
# 220 items less that of 20, so that its own start does not count.
set -eu
run() {
	from=$(date +%s%N)
	seq "$1" | parallel --will-cite -j2 true
	to=$(date +%s%N)
	echo $((to - from))
}
few=$(run 20)
many=$(run 220)
awk -v t=$((many - few)) 'BEGIN { print "index", t / 200 / 1e9 }'
