from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_slot_health'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='facts',
            field=models.JSONField(default=dict, help_text='What each attempt worked with, by its number.'),
        ),
    ]
