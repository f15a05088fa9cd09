#!/usr/bin/env bash
# What the four tasks of `kinesome mdgen` learn from nanoseconds of tetrapeptides on a few CPU cores. Arguments: a folder
# of NAME.npy (a frame each 2 ps), NAME_100fs.npy (0.1 ps) and replicate/NAME.npy; a folder for the results; tasks to run.
# Numbers that came out: benches/RESULTS.md.
set -euo pipefail
data=$1 out=$2
tasks=${3:-simulate interpolate upsample inpaint}
kinesome=${KINESOME:-kinesome}
mkdir -p "$out" && cd "$out"
table() { printf 'name,seqres\n'; for name in "$@"; do echo "$name,$name"; done; }
table AAAA DTIE GPQS KLVF YWGS > train.csv
table CMAR NHGA RHIP VGLD > held.csv
network=(--embed-dim 128 --num-layers 3 --mha-heads 8 --batch-size 8 --lr 1.5e-3 --cosine --ema --data-dir "$data")

for task in $tasks; do
    case $task in
    simulate) # windows of 160 ps
        "$kinesome" mdgen train --sim-condition "${network[@]}" --train-split train.csv --num-frames 16 --frame-interval 5 --repeat 96 --epochs 200 -o sim
        for split in train held; do
            "$kinesome" mdgen simulate --sim-ckpt sim/last.ckpt --data-dir "$data" --split $split.csv --num-rollouts 67 \
                --batch-size 5 --repair -o "sim-$split"
            "$kinesome" mdgen evaluate "$data" "sim-$split" --replicate "$data/replicate" --reference-step 2 --lag 20 -o "sim-$split/report"
        done ;;
    interpolate) # paths of 1 ns, a frame each 100 ps
        table AAAA KLVF > two.csv
        "$kinesome" mdgen train --tps-condition "${network[@]}" --train-split two.csv --num-frames 11 --frame-interval 50 --repeat 240 \
            --epochs 240 -o tps
        "$kinesome" mdgen interpolate --sim-ckpt tps/last.ckpt --data-dir "$data" --split two.csv --num-paths 100 --batch-size 50 \
            --timestep 100 --lag 100 -o tps-paths
        for name in AAAA KLVF; do
            "$kinesome" mdgen evaluate "$data/$name.npy" tps-paths --transition-paths --reference-step 2 --generated-step 100 --lag 100 \
                -o "tps-report/$name"
        done ;;
    upsample) # from 1 ps to 0.1 ps
        "$kinesome" mdgen train --sim-condition --cond-interval 10 "${network[@]}" --train-split train.csv --suffix _100fs --num-frames 21 --repeat 96 --epochs 60 -o up
        "$kinesome" mdgen upsample --sim-ckpt up/last.ckpt --data-dir "$data" --suffix _100fs --split train.csv --stored-interval 10 \
            --batch-size 10 -o up-fine
        for name in AAAA DTIE GPQS KLVF YWGS; do
            "$kinesome" mdgen evaluate "$data/${name}_100fs.npy" "up-fine/$name.xtc" --upsampling 10 --reference-step 0.1 --generated-step 0.1 \
                --lag 2 -o "up-report/$name"
        done ;;
    inpaint) # the two inner residues
        "$kinesome" mdgen train --inpainting --no-aa-emb --no-torsion "${network[@]}" --train-split train.csv --num-frames 16 --frame-interval 5 --repeat 96 --epochs 20 -o design
        for split in train held; do
            "$kinesome" mdgen inpaint --sim-ckpt design/last.ckpt --data-dir "$data" --split $split.csv --random-start-idx --num-designs 50 \
                --batch-size 25 --sampler euler -o "design-$split"
        done ;;
    esac
done
