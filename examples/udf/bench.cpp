#include "bench.hpp"
#include "blobs.hpp"
#include "connection.hpp"

#include <barrier>
#include <chrono>
#include <future>
#include <stdexcept>
#include <vector>

namespace udf {
namespace {

class worker {
  public:
    worker(const std::string& database, const std::filesystem::path& script, const std::string& function,
           const std::string& how, const std::string& share)
        : connection_(database, script) {
        const auto over = [&](const std::string& from) {
            return "SELECT sum(" + function + "(" + from + ")) FROM blobs WHERE " + share;
        };
        if (how == "column") {
            sql_ = over("data");
        } else if (how == "read") {
            sql_ = over("blob('blobs', 'data', id)");
        } else if (how == "bound") {
            sql_ = "SELECT " + function + "(?1)";
            connection_.query(
                "SELECT blob('blobs', 'data', id) FROM blobs WHERE " + share,
                [&](sqlite3_stmt* row) { loaded_.push_back(take_blob(sqlite3_column_value(row, 0))); });
        } else {
            throw std::invalid_argument("bound, read or column, not " + how);
        }
    }

    long long run() {
        long long sum = 0;
        const auto add = [&](sqlite3_stmt* row) { sum += sqlite3_column_int64(row, 0); };
        if (loaded_.empty()) {
            connection_.query(sql_, add);
        }
        for (const isthmus::bytes& each : loaded_) {
            connection_.query(sql_, add, std::span(&each, 1));
        }
        return sum;
    }

  private:
    connection connection_;
    std::string sql_;
    std::vector<isthmus::bytes> loaded_;
};

} // namespace

measured bench(const std::string& database, const std::filesystem::path& script, const std::string& function,
               const std::string& how, int threads) {
    std::vector<std::unique_ptr<worker>> workers;
    for (int i = 0; i < threads; ++i) {
        workers.push_back(std::make_unique<worker>(
            database, script, function, how, "id % " + std::to_string(threads) + " = " + std::to_string(i)));
    }
    std::barrier start(threads + 1);
    std::vector<std::future<long long>> sums;
    for (const auto& each : workers) {
        sums.push_back(std::async(std::launch::async, [&] {
            start.arrive_and_wait();
            return each->run();
        }));
    }
    start.arrive_and_wait();
    const auto began = std::chrono::steady_clock::now();
    long long sum = 0;
    for (auto& each : sums) {
        sum += each.get();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    return {took.count(), sum};
}

} // namespace udf
