from django.urls import path

from jobs import views

urlpatterns = [
    path("jobs/stream", views.stream_all_jobs),
    path("jobs/<str:job_id>/stream", views.stream_job),
    path("jobs/<str:job_id>/logs", views.JobLogsView.as_view()),
    path("jobs/<str:job_id>/logs/view", views.LogPageView.as_view()),
    path("jobs/<str:job_id>/summary", views.SummaryView.as_view()),
    path("jobs/<str:job_id>/attempts", views.AttemptsView.as_view()),
    path("jobs/<str:job_id>/artifacts", views.ArtifactsView.as_view()),
    path("jobs/<str:job_id>/artifacts/samples/<str:filename>", views.SampleView.as_view()),
    path("jobs/<str:job_id>/artifacts/model", views.ModelView.as_view()),
    path("jobs/<str:job_id>/checkpoints", views.CheckpointsView.as_view()),
    path("jobs/<str:job_id>/checkpoints/<str:filename>/download", views.CheckpointFileView.as_view()),
    path("jobs/<str:job_id>/debug-bundle", views.DebugBundleView.as_view()),
]
