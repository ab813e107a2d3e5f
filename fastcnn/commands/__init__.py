"""The commands of ``python -m fastcnn``, one module each, and what they share; `classifier.Classifier` is public."""
