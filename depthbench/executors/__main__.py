"""`python -m depthbench.executors DESCRIPTOR` is one worker; see `worker`."""

from depthbench.executors.worker import main

if __name__ == "__main__":
    main()
