"""The trainer: snapshots of labelled images, and runs that train one model each."""
