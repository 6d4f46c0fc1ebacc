from django.urls import path

from generation import image_views, views
from jobs.views import stream_job

urlpatterns = [
    path("generation", views.GenerationsView.as_view()),
    path("generation/output/<str:filename>", views.OutputView.as_view()),
    path("generation/images", image_views.InputImagesView.as_view()),
    path("generation/images/<str:filename>", image_views.InputImageView.as_view()),
    path("generation/<str:job_id>", views.GenerationView.as_view()),
    path("generation/<str:job_id>/stream", stream_job, {"kind": "generation"}),
    path("generation/<str:job_id>/rerun", views.GenerationRerunView.as_view()),
    path("generation/<str:job_id>/cancel", views.GenerationCancelView.as_view()),
    path("outputs/<str:filename>", views.OutputView.as_view()),
]
