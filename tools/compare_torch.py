#!/usr/bin/env python3
"""Times networks of kinesome beside the same ones in PyTorch, on the same machine in one run.

    cargo build --release
    python tools/compare_torch.py target/release/kinesome [--threads 2 1] [--rows mdgen/step-attention ...]

cryoDRGN, a training step: residual MLP encoder, coordinate decoder with gaussian positional encoding evaluated at
half the points of a central slice, CTF, mean squared error, Kullback-Leibler divergence, Adam. MDGen
(`torch_mdgen.py`), four residues, width 384, 5 and 5 layers: a training step (eight trajectories of 100 frames,
clipping, Adam), and the forward pass of one of 1000 frames. CryoDyna (`torch_dyna.py`), a training step of its residue
stage: 64 images of 128 pixels, 214 residues, AdamW. All in f32 on random data. Both programs run in turns,
each in a process of its own, and the medians of the turns are compared: by the clock and by processor time, which
other work on the machine disturbs less. Needs `torch`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

# Box, width of encoder and decoder. As in src/bench/training.rs.
BOXES = {"box64-256x3": (64, 256), "box64-1024x3": (64, 1024), "box128-256x3": (128, 256), "box128-1024x3": (128, 1024)}
LAYERS, ZDIM, BATCH = 3, 8, 8
# As in src/bench/trajectories.rs.
TRAJECTORIES = ["step-attention", "step-hyena", "forward-attention", "forward-hyena"]
ROWS = [f"drgn/{name}" for name in BOXES] + [f"mdgen/{name}" for name in TRAJECTORIES]
# As in src/bench/residues.rs.
ROWS.append("dyna/box128-214residues")


def torch_case(row, args):
    """A function that runs the row once, and how many images or trajectories that takes."""
    adam = {"fused": True} if args.fused else {}
    room, name = row.split("/")
    if room == "drgn":
        return drgn_step(*BOXES[name], adam), BATCH
    if room == "dyna":
        import torch_dyna

        return torch_dyna.training(adam), torch_dyna.BATCH
    import torch_mdgen

    kind, hyena = name.split("-")[0], name.endswith("hyena")
    if kind == "step":
        return torch_mdgen.training(8, 100, hyena, args.sdpa, adam), 8
    return torch_mdgen.forward(1000, hyena, args.sdpa), 1


def drgn_step(side, width, adam_options):
    """A function that runs one training step and returns its loss."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.linear = nn.Linear(inputs, outputs)

        def forward(self, x):
            y = self.linear(x)
            return x + y if x.shape[-1] == y.shape[-1] else y

    def mlp(inputs, outputs):
        layers = [Residual(inputs, width), nn.ReLU()]
        for _ in range(LAYERS):
            layers += [Residual(width, width), nn.ReLU()]
        return nn.Sequential(*layers, Residual(width, outputs))

    radius = side // 2
    axis = torch.linspace(-0.5, 0.5, side + 1)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.zeros(x.numel())], 1)
    square = (points**2).sum(1)
    points = points[(square <= 0.25) & (square > 0)]
    pixels = len(points)
    half = points[: pixels // 2]
    frequencies = torch.randn(3 * radius, 3) * 0.5
    encoder = mlp(pixels, 2 * ZDIM)
    decoder = mlp(6 * radius + ZDIM, 2)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-4, **adam_options)

    images, ctf = torch.randn(BATCH, pixels), torch.randn(BATCH, pixels)
    rotations = torch.linalg.qr(torch.randn(BATCH, 3, 3))[0]
    beta = 1.0 / ZDIM

    def slices(z):
        k = half @ rotations
        sign = torch.where(k[..., 2:] > 0, -1.0, 1.0)
        phase = radius * ((k * sign) @ frequencies.T)
        latent = z[:, None, :].expand(-1, len(half), -1)
        out = decoder(torch.cat([phase.sin(), phase.cos(), latent], -1))
        real, imaginary = out[..., 0], out[..., 1] * sign[..., 0]
        return torch.cat([real - imaginary, (real + imaginary).flip(1)], 1)

    def step():
        adam.zero_grad()
        code = encoder(images * ctf.sign())
        mu, logvar = code[:, :ZDIM], code[:, ZDIM:]
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        difference = (ctf * slices(z) - images).pow(2).mean()
        divergence = (-0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)).mean()
        loss = difference + beta * divergence / pixels
        loss.backward()
        adam.step()
        return loss.item()

    return step


def worker(args):
    import torch

    torch.set_num_threads(args.threads[0])
    step, count = torch_case(args.rows[0], args)
    step()
    step()
    times, start, before = [], time.perf_counter(), time.process_time()
    while len(times) < 3 or time.perf_counter() - start < args.seconds:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    cpu = (time.process_time() - before) / len(times)
    middle = statistics.median(times)
    print(json.dumps({"examples_per_second": count / middle, "examples_per_cpu_second": count / cpu}))


def run(command, **extra):
    out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **extra})
    if out.returncode:
        sys.exit(f"{command[0]} failed:\n{out.stderr}")
    return json.loads(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinesome", help="the built program")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS)
    parser.add_argument("--turns", type=int, default=3, help="times that each program runs (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a turn (default 5)")
    parser.add_argument("--fused", action="store_true", help="PyTorch's fused Adam instead of its default")
    parser.add_argument("--sdpa", action="store_true", help="PyTorch's scaled_dot_product_attention in MDGen")
    parser.add_argument(
        "--passive", action="store_true", help="PyTorch's threads sleep while they wait: for a machine with other work"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    import torch

    print(f"PyTorch {torch.__version__}; medians of {args.turns} turns of {args.seconds:g} s each")
    print("                                |       examples/s        | examples/processor second | kinesome: share of")
    print("row                     threads | kinesome  torch   ratio |  kinesome  torch   ratio  | product peak")
    for row in args.rows:
        for threads in args.threads:
            common = ["--threads", str(threads), "--seconds", str(args.seconds)]
            ours, theirs = [], []
            for _ in range(args.turns):
                command = [args.kinesome, "bench", row, "--device", "cpu", "--json", *common]
                ours.append(run(command)["cases"][0])
                other = [sys.executable, __file__, args.kinesome, "--worker", "--rows", row, *common]
                chosen = [f"--{name}" for name in ("fused", "sdpa") if getattr(args, name)]
                passive = {"OMP_WAIT_POLICY": "passive"} if args.passive else {}
                theirs.append(run(other + chosen, **passive))
            middle = lambda runs, key: statistics.median(r[key] for r in runs)
            line = f"{row:23} {threads:7} |"
            for key in ["examples_per_second", "examples_per_cpu_second"]:
                a, b = middle(ours, key), middle(theirs, key)
                line += f" {a:8.3f} {b:6.3f} {a / b:7.2f} |"
            print(f"{line} {100 * middle(ours, 'share_of_flops'):5.0f} %", flush=True)


main()
