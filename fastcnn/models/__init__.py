"""Networks from the literature, each as one annotated list."""

from fastcnn.models.lenet5 import LeNet5

__all__ = ["LeNet5"]
