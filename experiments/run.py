"""The command `invbench` as a file, for tools that want one: python experiments/run.py method=eoq."""

from invbench.cli import main

if __name__ == "__main__":
    main()
