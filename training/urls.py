from django.urls import path

from jobs.views import stream_job
from training import again_views, live_views, views

urlpatterns = [
    path("training", views.TrainingsView.as_view()),
    # Before the job ids, which these words are not.
    path("training/successful", views.SuccessfulTrainingsView.as_view()),
    path("training/ongoing", views.OngoingTrainingsView.as_view()),
    path("training/<str:job_id>", views.TrainingView.as_view()),
    path("training/<str:job_id>/stream", stream_job, {"kind": "training"}),
    path("training/<str:job_id>/cancel", views.TrainingCancelView.as_view()),
    path("training/<str:job_id>/retry", again_views.TrainingRetryView.as_view()),
    path("training/<str:job_id>/extend", again_views.TrainingExtensionView.as_view()),
    path("training/<str:job_id>/loss", live_views.TrainingLossView.as_view()),
    path("training/<str:job_id>/save", live_views.TrainingSaveView.as_view()),
    path("training/<str:job_id>/sample", live_views.TrainingSampleView.as_view()),
]
