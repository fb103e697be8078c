"""`python -m serving.cli COMMAND`."""

from serving.cli.main import main

if __name__ == "__main__":
    main()
