"""Figures. Matplotlib, the extra ``plot``, is imported when a figure is made; no window is opened."""

from fastcnn.plotting.attribution import plot_grad_cam, plot_saliency
from fastcnn.plotting.confusion import plot_confusion
from fastcnn.plotting.feature_maps import plot_feature_maps
from fastcnn.plotting.filters import plot_filters
from fastcnn.plotting.history import compare_histories, plot_history
from fastcnn.plotting.mistakes import plot_mistakes

__all__ = [
    "compare_histories",
    "plot_confusion",
    "plot_feature_maps",
    "plot_filters",
    "plot_grad_cam",
    "plot_history",
    "plot_mistakes",
    "plot_saliency",
]
