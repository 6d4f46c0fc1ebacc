"""The groups of operators and viewers, with the permissions that there are already.

Those that later migrations make are given when they are made.
"""

from django.db import migrations

from isengard.cockpit.roles import give, make_groups


def make_roles(apps, schema_editor):
    using = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(using)
    make_groups(groups)
    give(apps.get_model("auth", "Permission").objects.using(using), groups)


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    # Going back leaves the groups: people may be in them.
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
