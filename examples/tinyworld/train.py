#!/usr/bin/env python3
"""Trains the tiny world's judge or generator: train.py judge|generator [--config F] [--out DIR] [--stage S].

Every stage can be killed at any time; the same command goes on from its last state.
"""

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["judge", "generator"])
    parser.add_argument("--config", type=Path, help="settings (training/judge.json or training/generator.json)")
    parser.add_argument("--out", type=Path, help="where states, curves and checkpoints go (train-run/<what>)")
    parser.add_argument("--stage", help="one stage alone (all, one after the other)")
    args = parser.parse_args()
    args.config = args.config or HERE / "training" / f"{args.what}.json"
    args.out = args.out or Path("train-run") / args.what
    args.out.mkdir(parents=True, exist_ok=True)
    importlib.import_module(f"training.{args.what}").main(args)


if __name__ == "__main__":
    main()
