"""`python -m semcascade`: the same as the command `semcascade`."""

from semcascade.cli import main

if __name__ == "__main__":
    main()
