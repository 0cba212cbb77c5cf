"""The import is interrupted as everything else is: with the installations of the fault tests."""

from classifr.tests.faults.conftest import install, template

__all__ = ["install", "template"]
