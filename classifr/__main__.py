"""`python -m classifr COMMAND`: the command line, wherever the code lies."""

from classifr.command_line import main

if __name__ == "__main__":
    main()
