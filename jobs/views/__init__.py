"""HTTP of jobs of any kind."""

from jobs.views.attempts import AttemptsView
from jobs.views.files import ArtifactsView, CheckpointFileView, CheckpointsView, DebugBundleView, ModelView, SampleView
from jobs.views.logs import JobLogsView, LogPageView
from jobs.views.stream import stream_all_jobs, stream_job
from jobs.views.summary import SummaryView

__all__ = [
    "ArtifactsView",
    "AttemptsView",
    "CheckpointFileView",
    "CheckpointsView",
    "DebugBundleView",
    "JobLogsView",
    "LogPageView",
    "ModelView",
    "SampleView",
    "SummaryView",
    "stream_all_jobs",
    "stream_job",
]
