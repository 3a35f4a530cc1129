"""The pytest plugin, as an installed package brings it."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


def test_the_plugin_gives_a_running_gateway_to_plain_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import urllib.error
        import urllib.request

        import pytest

        def test_it(fake_gateway):
            with pytest.raises(urllib.error.HTTPError, match="401") as caught:
                urllib.request.urlopen(fake_gateway.base_url + "/models")
            caught.value.close()
            assert len(fake_gateway.requests) == 1

        def test_each_test_has_its_own(fake_gateway):
            assert fake_gateway.requests == []
    """)
    # Installed, the plugin is there by itself under the name of its entry point.
    plugin: tuple[str, ...] = ("-p", "no:aiotokengate", "-p", "no:asyncio")
    plugin += ("-p", "aiotokengate.testing._pytest_plugin")
    pytester.runpytest_inprocess(*plugin).assert_outcomes(passed=2)


def test_the_plugin_costs_no_web_server() -> None:
    code = "import sys, aiotokengate.testing._pytest_plugin; print('aiohttp.web' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
