#!/usr/bin/env python3
"""Checks that cryoDRGN, PyTorch and NumPy open what kinesome writes. Run by hand, in an environment with cryodrgn:

    KINESOME_INTEROP_DIR=/tmp/interop cargo test --test formats drgn_files
    python tools/check_interop.py /tmp/interop tests/golden/cryodrgn/cli

The first folder holds our outputs; the second cryoDRGN's own files they were copied from.
"""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("error")  # a deprecation today is a refusal tomorrow


def load(path):
    with open(path, "rb") as f:
        return pickle.load(f)


def check_arrays(ours, theirs):
    """Everything that needs NumPy only."""
    rot, trans = load(ours / "pose.pkl")
    rot0, trans0 = load(theirs / "pose.pkl")
    assert rot.dtype == rot0.dtype and np.array_equal(rot, rot0) and np.array_equal(trans, trans0)
    (rot,) = load(ours / "rot.pkl")
    assert np.array_equal(rot, rot0)
    ctf, ctf0 = load(ours / "ctf.pkl"), load(theirs / "ctf.pkl")
    assert ctf.dtype == ctf0.dtype and np.array_equal(ctf, ctf0)
    with open(ours / "z.pkl", "rb") as a, open(theirs / "z.pkl", "rb") as b:
        for _ in range(2):
            x, y = pickle.load(a), pickle.load(b)
            assert x.dtype == y.dtype and np.array_equal(x, y)
        assert not a.read()
    assert load(ours / "ind.pkl").tolist() == [4, 0, 47]
    assert np.load(ours / "ind.npy").tolist() == [4, 0, 47]
    assert load(ours / "labels.pkl").dtype == np.int64
    assert load(ours / "umap.pkl").shape == (2, 2) and load(ours / "umap.pkl").dtype == np.float32


def check_torch(ours, theirs):
    """The checkpoint, and that Adam goes on from it."""
    import torch

    theirs = torch.load(theirs / "weights.pkl", weights_only=False)
    for options in ({"weights_only": True}, {"weights_only": False}, {"weights_only": True, "mmap": True}):
        w = torch.load(ours / "weights.pkl", **options)
        assert w["epoch"] == theirs["epoch"]
        assert list(w["model_state_dict"]) == list(theirs["model_state_dict"])
        for name, tensor in theirs["model_state_dict"].items():
            assert torch.equal(w["model_state_dict"][name], tensor), name
        state = w["optimizer_state_dict"]["state"]
        assert state.keys() == theirs["optimizer_state_dict"]["state"].keys()
        for i, moments in theirs["optimizer_state_dict"]["state"].items():
            for key, tensor in moments.items():
                assert torch.equal(state[i][key], tensor) and state[i][key].shape == tensor.shape, (i, key)
        assert w["optimizer_state_dict"]["param_groups"] == theirs["optimizer_state_dict"]["param_groups"]
    assert torch.load(ours / "weights_nn.pkl", weights_only=True)["norm"] == (0.0, 2.5)
    stepped = []
    for source in (w, theirs):
        parameters = [torch.nn.Parameter(t.clone()) for t in source["model_state_dict"].values()]
        adam = torch.optim.Adam(parameters, lr=1e-4)
        adam.load_state_dict(source["optimizer_state_dict"])
        for i, p in enumerate(parameters):
            if i in source["optimizer_state_dict"]["state"]:
                p.grad = torch.ones_like(p)
        adam.step()
        stepped.append(parameters)
    assert all(torch.equal(a, b) for a, b in zip(*stepped))


def check_cryodrgn(ours, theirs):
    """cryoDRGN's own loaders."""
    warnings.simplefilter("ignore")
    import torch
    from cryodrgn import ctf, utils
    from cryodrgn.models import HetOnlyVAE
    from cryodrgn.pose import PoseTracker

    poses = PoseTracker.load(str(ours / "pose.pkl"), Nimg=48, D=33, emb_type=None)
    poses0 = PoseTracker.load(str(theirs / "pose.pkl"), Nimg=48, D=33, emb_type=None)
    assert torch.equal(poses.rots, poses0.rots) and torch.equal(poses.trans, poses0.trans)
    assert np.array_equal(
        ctf.load_ctf_for_training(32, str(ours / "ctf.pkl")), ctf.load_ctf_for_training(32, str(theirs / "ctf.pkl"))
    )
    config, config0 = utils.load_yaml(str(ours / "config.yaml")), utils.load_yaml(str(theirs / "config.yaml"))
    assert config["dataset_args"]["norm"] == [1e-7, 2.5e20]
    assert all(isinstance(word, str) for word in config["cmd"]), config["cmd"]
    assert config["cmd"][:27] == config0["cmd"] and config["cmd"][-2:] == ["", "é"]
    assert config["model_args"] == config0["model_args"] and config["lattice_args"] == config0["lattice_args"]
    assert config["time"] == config0["time"] and config["version"] == config0["version"]
    model, lattice = HetOnlyVAE.load(config, str(ours / "weights.pkl"))
    model0, _ = HetOnlyVAE.load(config0, str(theirs / "weights.pkl"))
    assert lattice.D == 33
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), model0.state_dict().values()))


def main():
    ours, theirs = map(Path, sys.argv[1:3])
    check_arrays(ours, theirs)
    print("numpy", np.__version__, "opens the tables")
    for name, check in (("torch", check_torch), ("cryodrgn", check_cryodrgn)):
        try:
            __import__(name)
        except ModuleNotFoundError:
            print(name, "is not installed: skipped")
            continue
        check(ours, theirs)
        print(name, "opens what is its own")


if __name__ == "__main__":
    main()
