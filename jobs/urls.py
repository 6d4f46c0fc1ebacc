from django.urls import path

from jobs import views

urlpatterns = [
    path("jobs/<str:job_id>/stream", views.stream_job),
    path("jobs/<str:job_id>/logs", views.JobLogsView.as_view()),
]
