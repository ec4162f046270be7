#include "module/versions.hpp"

#include "cpython/refs.hpp"

#include <link.h>
#include <string>
#include <string_view>

namespace isthmus::module {
namespace {

constexpr std::string_view stem = "libisthmus_python";

struct search {
    std::string own; ///< the file name of the library that this is
    std::string other;
};

/// For dl_iterate_phdr, which goes on after 0.
int compare(dl_phdr_info* loaded, std::size_t, void* state) {
    auto& found = *static_cast<search*>(state);
    const std::string_view path = loaded->dlpi_name != nullptr ? loaded->dlpi_name : "";
    const std::string_view name = path.substr(path.rfind('/') + 1);
    if (!name.starts_with(stem) || name == found.own) {
        return 0;
    }
    found.other = path;
    return 1;
}

} // namespace

void refuse_other_versions() {
    search found;
    found.own = std::string(stem) + std::to_string(PY_MAJOR_VERSION) + std::to_string(PY_MINOR_VERSION) +
                "-" ISTHMUS_VERSION ".so";
    if (dl_iterate_phdr(compare, &found) != 0) {
        py::fail(PyExc_ImportError,
                 "isthmus %s can't be used beside %s, which this process has loaded already", ISTHMUS_VERSION,
                 found.other.c_str());
    }
}

} // namespace isthmus::module
