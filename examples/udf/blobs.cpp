#include "blobs.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace udf {
namespace {

/// The destructor is told the address and nothing else, so the table is one for the process.
struct lent_blobs {
    struct entry {
        isthmus::bytes data;
        std::size_t times;
    };
    std::mutex lock;
    std::map<const void*, entry> entries;
};

std::atomic<std::uint64_t> copied{0};

lent_blobs& lent() {
    static auto* const all = new lent_blobs; // statements may be finalised by destructors of statics
    return *all;
}

void lend(const isthmus::bytes& data) {
    lent_blobs& all = lent();
    const std::lock_guard guard(all.lock);
    ++all.entries.try_emplace(data.data(), lent_blobs::entry{data, 0}).first->second.times;
}

/// SQLite's destructor.
void give_back(void* address) {
    isthmus::bytes last; // freed after the lock
    lent_blobs& all = lent();
    const std::lock_guard guard(all.lock);
    const auto found = all.entries.find(address);
    if (found != all.entries.end() && --found->second.times == 0) {
        last = std::move(found->second.data);
        all.entries.erase(found);
    }
}

} // namespace

// A blob without bytes has no address to be known by, and would be taken for NULL.

void give_blob(sqlite3_context* to, const isthmus::bytes& data) {
    if (data.empty()) {
        sqlite3_result_zeroblob(to, 0);
        return;
    }
    lend(data);
    sqlite3_result_blob64(to, data.data(), data.size(), give_back);
}

int bind_blob(sqlite3_stmt* to, int index, const isthmus::bytes& data) {
    if (data.empty()) {
        return sqlite3_bind_zeroblob(to, index, 0);
    }
    lend(data);
    return sqlite3_bind_blob64(to, index, data.data(), data.size(), give_back);
}

isthmus::bytes take_blob(sqlite3_value* from) {
    const void* const address = sqlite3_value_blob(from);
    const auto size = static_cast<std::size_t>(sqlite3_value_bytes(from));
    {
        lent_blobs& all = lent();
        const std::lock_guard guard(all.lock);
        const auto found = all.entries.find(address);
        if (found != all.entries.end() && found->second.data.size() == size) {
            return found->second.data;
        }
    }
    copied += size;
    return isthmus::bytes(std::span(static_cast<const std::byte*>(address), size));
}

std::uint64_t copied_from_sqlite() noexcept {
    return copied;
}

isthmus::bytes read_blob(sqlite3* from, const char* table, const char* column, std::int64_t row) {
    sqlite3_blob* opened = nullptr;
    int code = sqlite3_blob_open(from, "main", table, column, row, 0, &opened);
    const std::unique_ptr<sqlite3_blob, decltype(&sqlite3_blob_close)> blob(opened, sqlite3_blob_close);
    if (code == SQLITE_OK) {
        const int size = sqlite3_blob_bytes(opened);
        isthmus::bytes_builder draft(static_cast<std::size_t>(size));
        code = sqlite3_blob_read(opened, draft.data(), size, 0);
        if (code == SQLITE_OK) {
            return std::move(draft).publish();
        }
    }
    throw std::runtime_error(sqlite3_errmsg(from));
}

} // namespace udf
