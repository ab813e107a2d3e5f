"""What ``python -m fastcnn`` does: one file for each command."""
