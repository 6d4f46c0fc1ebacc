from django.urls import path

from generation import views
from jobs.views import stream_job

urlpatterns = [
    path("generation", views.GenerationsView.as_view()),
    path("generation/output/<str:filename>", views.OutputView.as_view()),
    path("generation/<str:job_id>", views.GenerationView.as_view()),
    path("generation/<str:job_id>/stream", stream_job, {"kind": "generation"}),
    path("generation/<str:job_id>/cancel", views.GenerationCancelView.as_view()),
    path("outputs/<str:filename>", views.OutputView.as_view()),
]
