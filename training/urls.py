from django.urls import path

from jobs.views import stream_job
from training import views

urlpatterns = [
    path("training", views.TrainingsView.as_view()),
    # Before the job ids, which these words are not.
    path("training/successful", views.SuccessfulTrainingsView.as_view()),
    path("training/ongoing", views.OngoingTrainingsView.as_view()),
    path("training/<str:job_id>", views.TrainingView.as_view()),
    path("training/<str:job_id>/stream", stream_job, {"kind": "training"}),
    path("training/<str:job_id>/cancel", views.TrainingCancelView.as_view()),
]
