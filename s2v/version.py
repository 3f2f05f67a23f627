"""The version of the package: read by the build, told by the command and by what the package writes."""

__version__ = "0.2.0"
