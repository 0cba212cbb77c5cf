#!/usr/bin/env python
"""Classifr's command line in a checkout."""

from classifr.command_line import main

if __name__ == "__main__":
    main()
