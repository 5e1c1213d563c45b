"""Runs a module on the source of the rules, whatever has been compiled: `python -m servers.bench.source MODULE ARGUMENT...`."""

import runpy
import sys

from servers import native

if __name__ == "__main__":
    native.uninstall()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
